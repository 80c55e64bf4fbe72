"""What a score means, against NumPy's own interpolation and search; ties and ends included."""

import json

import numpy as np

from clicv2lite.models.by_name import DEFAULT
from clicv2lite.models.norms import NORMS_FILE, Norms, read_norms

QUANTILES = np.array([0.1, 0.2, 0.2, 0.2, 0.5, 0.5, 0.9])  # many images of one score
NORMS = Norms("made up", "0" * 16, QUANTILES, edges=np.array([0.3, 0.6]), half=np.array([0.1, 0.2, 0.3]))


def test_percentile_and_half_width_are_those_of_numpy():
    read = read_norms(DEFAULT / NORMS_FILE)
    for norms in (NORMS, read):
        levels = np.linspace(0, 100, len(norms.quantiles))
        drawn = np.random.default_rng(0).random(500)
        for score in [*drawn, *norms.quantiles, *norms.edges, 0.0, 1.0]:
            np.testing.assert_allclose(norms.percentile(score), np.interp(score, norms.quantiles, levels), atol=1e-9)
            assert norms.half_width(score) == norms.half[np.searchsorted(norms.edges, score, side="right")]


def test_images_of_the_same_score_count_whole():
    assert NORMS.percentile(0.2) == 50.0 == 100 * 3 / 6  # and not 100 * 1 / 6, the share below


def test_the_models_own_reference_is_all_of_the_unlabelled_images():
    stored = json.loads((DEFAULT / NORMS_FILE).read_text(encoding="utf-8"))
    assert stored["n"] == 8070 == sum(kind["n"] for kind in stored["kinds"].values()) and stored["failed"] == 0


def test_without_ratings_there_is_no_interval():
    rating = Norms("made up", "0" * 16, QUANTILES).rating(0.35, ("small",))
    assert (rating.low, rating.high, rating.flags) == (None, None, ("small",))
    np.testing.assert_allclose(rating.percentile, 100 * 3.5 / 6)
