import numpy as np
import torch

from clicv2lite.probe.conformal import BINS, coverage, half_widths


def test_the_half_width_of_a_quarter_is_the_error_that_the_quantile_names():
    rng = np.random.default_rng(0)
    predictions = rng.permutation(np.linspace(0.1, 0.9, 400))
    scores = predictions + rng.normal(0, 0.05 + 0.1 * predictions)
    edges, half = half_widths(predictions, scores)
    for i, (low, high) in enumerate(zip([-1, *edges], [*edges, 2], strict=True)):
        errors = sorted(abs(s - p) for s, p in zip(scores, predictions, strict=True) if low <= p < high)
        assert half[i] == errors[int(np.ceil(0.9 * 101)) - 1]  # 91st of 100
    assert len(half) == BINS and half[0] < half[-1]


def test_intervals_hold_nine_of_ten_ratings_that_they_have_not_seen():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(600, 5))
    scores = np.clip(0.5 + features @ [0.05, 0.03, 0, 0, 0] + rng.normal(0, 0.08, 600), 0, 1)
    names = ["a", "b"] * 300
    found = coverage(torch.from_numpy(features), scores, names, np.array(names), 5, (0, 1))
    assert set(found["share"]) == {"overall", "a", "b"} and all(len(shares) == 2 for shares in found["share"].values())
    assert all(abs(share - 0.9) < 0.04 for share in found["share"]["overall"])
    clash = coverage(torch.from_numpy(features), scores, ["overall", "b"] * 300, np.array(names), 5, (0, 1))["share"]
    assert clash == {"category overall" if name == "a" else name: share for name, share in found["share"].items()}
    assert abs(found["half"] - 0.08 * 1.645) < 0.02  # of a normal distribution


def test_each_quarter_has_a_width_of_its_own_from_ratings_that_no_part_of_it_saw():
    """Fifty features for 240 images: a fit errs far less on its own images. And the complex half is rated with more noise."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(240, 50))
    level = 0.02 * features.sum(1)
    scores = np.clip(0.5 + level + rng.normal(size=240) * np.where(level > 0, 0.09, 0.02), 0, 1)
    names = np.where(level > 0, "high", "low").tolist()
    share = coverage(torch.from_numpy(features), scores, names, None, 5, (0, 1))["share"]
    overall, high, low = (np.mean(share[name]) for name in ("overall", "high", "low"))
    assert overall > 0.9 and high > 0.88 and low > high
