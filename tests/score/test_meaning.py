"""What is said of scores: percentile, half-width and flags of a row, and when a set of images is mixed."""

from pathlib import Path

import numpy as np
import pytest

from clicv2lite.models.norms import Norms
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.meaning import meaning, mixture

NORMS = Norms(
    "made up", "0" * 16, np.linspace(0, 1, 5) ** 2, edges=np.array([0.5]), half=np.array([0.1, 0.2]), within=0.75, pooled=0.5
)


def row(score=0.25, flags=()):
    return ImageRow("a.png", Path("a.png"), score, flags=flags)


def test_a_row_means_its_place_its_half_width_and_its_flags():
    assert meaning(row(flags=("small",)), NORMS) == {
        "score": 0.25, "percentile": 50.0, "uncertainty": 0.1, "flags": ["small"]
    }  # fmt: skip
    assert meaning(row(0.5625), NORMS) == {"score": 0.5625, "percentile": 75.0, "uncertainty": 0.2, "flags": []}
    unknown = {"percentile": None, "uncertainty": None, "flags": None}
    assert meaning(row(flags=None), None) == {"score": 0.25, **unknown}
    assert meaning(row(None), NORMS) == {"score": None, **unknown}


@pytest.mark.parametrize(("drawn", "of", "mixed"), [(2, 19, True), (2, 20, True), (2, 21, False), (1, 5, False)])
def test_a_set_is_mixed_from_a_tenth_and_two_images_of_the_rarer_kind_on(drawn, of, mixed):
    graphics = [row(flags=("small", "drawn")), row(flags=("text",))][:drawn]
    uncounted = [row(flags=None)] * 9 + [row(None, ("drawn",))] * 9  # nobody looked, or there is no score
    rows = [*graphics, *[row(flags=("small",))] * (of - drawn), *uncounted]
    swapped = [*[row(flags=("text",))] * (of - drawn), *[row()] * drawn, *uncounted]
    assert mixture(rows, None).startswith(f"{drawn} of {of} images look drawn") is mixed
    assert mixture(swapped, None).startswith(f"{of - drawn} of {of} images look drawn") is mixed
    assert mixed or mixture(rows, None) == mixture(swapped, None) == ""


def test_how_badly_kinds_compare_is_said_where_it_is_known():
    rows = [row()] * 3 + [row(flags=("drawn",))] * 2
    assert "(PCC with people 0.75 within a category, 0.50 over all categories)" in mixture(rows, NORMS)
    assert "PCC" not in mixture(rows, None) and "compare within a kind" in mixture(rows, None)
