"""A paired comparison of two ways to train: the same seeds, images and folds for both (book chapter 15).

Chance enters twice: another seed gives another encoder, and other images give another score. So there are two tests of the mean
difference. Student's t over seeds keeps the images; the bootstrap over images keeps the seeds. A difference counts only where
both leave out zero, and its p-value is the larger of the two. Each test keeps the other source fixed; with few seeds the wide
interval over seeds makes up for that (tests/evaluate/test_paired.py draws such data).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clicv2lite.arrays import Floats
from clicv2lite.extras import extra
from clicv2lite.probe.metrics import SMALLEST_CATEGORY, interval

with extra("evaluate"):
    from scipy.stats import false_discovery_control, ttest_1samp

Verdict = Literal["agrees", "disagrees", "undecided", "not run"]
MEANINGS: dict[Verdict, str] = {
    "agrees": "both intervals leave out zero, on the paper's side",
    "disagrees": "both leave it out, on the other side",
    "undecided": "it was measured, and that does not decide",
    "not run": "it was not measured",
}
"""Verdict -> what it means: the words of tables and of claims."""
LEVEL, RATE = 0.95, 0.05  # of an interval; of false discoveries among the verdicts
RESAMPLES = 9999  # the smallest p-value is 1 in 10,000
CHUNK = 1000  # resamples at once
EQUAL = 1e-12  # a spread or a relative variance below it is rounding


@dataclass(frozen=True)
class Paired:
    """Left minus right."""

    values: tuple[float, ...]  # one a seed
    resampled: Floats | None = None  # (RESAMPLES,) the mean over seeds on resampled images
    lack: str | None = None  # why there is no `resampled`; None also for a number that has no bootstrap, as one of t-SNE

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.values))

    @property
    def over_seeds(self) -> list[float] | None:
        """Student's 95 % interval of the mean over seeds; None for a single seed."""
        if len(self.values) < 2:
            return None
        if np.ptp(self.values) < EQUAL:
            return [self.mean, self.mean]
        return [float(end) for end in ttest_1samp(self.values, 0).confidence_interval(LEVEL)]

    @property
    def over_images(self) -> list[float] | None:
        """95 % percentile interval of the bootstrap; None without one."""
        return None if self.resampled is None else interval(self.resampled, LEVEL)

    @property
    def undecided(self) -> str | None:
        """Why there is no p-value; None if there is one."""
        if len(self.values) < 2:
            return "one seed: no interval over seeds"
        return self.lack

    def p_beyond(self, limit: float, sign: int) -> float:
        """One-sided p-value, the larger of both tests: the difference is above the limit (sign 1), or below it (sign -1)."""
        d = sign * (np.asarray(self.values) - limit)
        equal = np.ptp(d) < EQUAL
        over_seeds = float(d.mean() <= EQUAL) if equal else float(ttest_1samp(d, 0, alternative="greater").pvalue)
        if self.resampled is None:
            return over_seeds
        drawn = self.resampled[np.isfinite(self.resampled)]
        return max(over_seeds, float((1 + (sign * (drawn - limit) <= 0).sum()) / (1 + len(drawn))))

    @property
    def p(self) -> float | None:
        """Two-sided p-value of no difference, the larger of both tests; None if `undecided` says why."""
        return None if self.undecided else min(1.0, 2 * self.p_beyond(0.0, 1 if self.mean > 0 else -1))


def paired_difference(
    left: ArrayLike,
    right: ArrayLike,
    scores: ArrayLike,
    categories: Sequence[str] | None = None,
    statistic: str = "mean_pcc",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """The paired difference of two sets of predictions.

    Args:
        left, right: (seeds, n) predictions of the same images by the same folds; row s of both has the same seed.
        scores: (n,) ratings; the last two statistics do not read them. categories: (n,), within which images are resampled.
        statistic: mean_pcc, over categories; pcc, over all images; pcc:NAME, in one category; variance, over categories, as in
            :func:`clicv2lite.probe.metrics.report`; category_accuracy, the mean in percent; top1, the same of many images,
            whose categories are not read.

    Returns:
        Values by seed and on resampled images, all seeds on the same ones.

    Raises:
        ValueError: if the shapes do not fit.
    """
    a, b, x = (np.asarray(v, dtype=np.float64) for v in (left, right, scores))
    if a.ndim != 2 or a.shape != b.shape or x.shape != a.shape[1:]:
        raise ValueError(f"predictions (seeds, n) twice and (n,) scores are needed, not {a.shape}, {b.shape} and {x.shape}")
    if statistic == "top1":
        return Paired(tuple((100 * (a - b).mean(1)).tolist()), _drawn_means(100 * (a - b).mean(0), resamples, seed))
    names = tuple(categories) if categories is not None else ("",) * len(x)
    both, every = np.concatenate([a, b]), np.ones((1, len(x)))
    observed = statistic_of(statistic, x, both, names, every)[0]
    drawn = draws(names, resamples, seed)
    parts = [statistic_of(statistic, x, both, names, drawn[i : i + CHUNK]) for i in range(0, resamples, CHUNK)]
    found, k = np.concatenate(parts), len(a)
    return Paired(tuple((observed[:k] - observed[k:]).tolist()), (found[:, :k] - found[:, k:]).mean(1))


@lru_cache(maxsize=4)  # all pairs of a suite are compared on the same resampled images
def draws(categories: tuple[str, ...], resamples: int, seed: int) -> NDArray[np.uint8]:
    """(resamples, n) how often each image is drawn, with replacement within its category."""
    rng, names = np.random.default_rng(seed), np.asarray(categories)
    counts = np.zeros((resamples, len(names)), dtype=np.uint8)
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        for start in range(0, resamples, CHUNK):
            count = min(CHUNK, resamples - start)
            picked = rng.integers(len(rows), size=(count, len(rows))) + len(rows) * np.arange(count)[:, None]
            found = np.bincount(picked.ravel(), minlength=count * len(rows))
            counts[start : start + count, rows] = found.reshape(count, -1)
    return counts


def statistic_of(statistic: str, scores: Floats, predictions: Floats, categories: Sequence[str], counts: ArrayLike) -> Floats:
    """(B, k) values of a statistic for (k, n) predictions, each image counted as (B, n) `counts` say; nan where not defined."""
    weights = np.asarray(counts)
    if statistic == "category_accuracy":
        return np.asarray(100 * (weights @ predictions.T) / weights.sum(1, keepdims=True))
    if statistic == "pcc":
        return _pcc(scores, predictions, weights)
    names = np.asarray(categories)
    wanted = [statistic.removeprefix("pcc:")] if statistic.startswith("pcc:") else np.unique(names)
    parts = []
    for name in wanted:
        rows = names == name
        if rows.sum() >= SMALLEST_CATEGORY:
            whole = _pcc(scores[rows], predictions[:, rows], np.ones((1, rows.sum())))
            part = _pcc(scores[rows], predictions[:, rows], weights[:, rows])
            parts.append((part, np.broadcast_to(np.isfinite(whole), part.shape)))
    if not parts:
        return np.full((len(weights), len(predictions)), np.nan)
    values, defined = (np.stack(part) for part in zip(*parts, strict=True))  # (C, B, k); as a report, leave out the undefined
    n = np.maximum(defined.sum(0), 1)
    mean = np.where(defined.any(0), np.where(defined, values, 0).sum(0) / n, np.nan)
    return mean if statistic != "variance" else np.where(defined, (values - mean) ** 2, 0).sum(0) / n + 0 * mean


def all_above(pairs: Sequence[Paired]) -> tuple[bool, float | None]:
    """Whether every left lies above its right, as one test.

    Returns:
        True and the largest p-value, if every mean difference is positive: all comparisons must hold. Else False and the
        smallest p-value of the reversed ones, times the number of comparisons (Bonferroni): one of them is enough. None
        instead of a p-value that cannot be computed.
    """
    if against := [pair for pair in pairs if pair.mean <= 0]:
        known = [pair.p for pair in against if pair.p is not None]
        return False, min(1.0, len(pairs) * min(known)) if known else None
    found = [pair.p for pair in pairs]
    return True, None if None in found else max(p for p in found if p is not None)


def alike(pairs: Sequence[Paired], margin: float) -> tuple[bool, float | None]:
    """Whether no left differs from its right by more than a margin, as one test.

    Returns:
        True and the largest p-value of two one-sided tests each (TOST), if every mean lies within the margin. Else False and
        the smallest two-sided p-value of those beyond the margin, times the number of comparisons. None as in `all_above`.
    """
    if beyond := [pair for pair in pairs if abs(pair.mean) > margin]:
        signs = {id(pair): 1 if pair.mean > 0 else -1 for pair in beyond}
        known = [2 * pair.p_beyond(signs[id(pair)] * margin, signs[id(pair)]) for pair in beyond if not pair.undecided]
        return False, min(1.0, len(pairs) * min(known)) if known else None
    if any(pair.undecided for pair in pairs):
        return True, None
    return True, max(max(pair.p_beyond(-margin, 1), pair.p_beyond(margin, -1)) for pair in pairs)


def adjusted(ps: Sequence[float]) -> list[float]:
    """P-values adjusted to control the false discovery rate (Benjamini and Hochberg, 1995): reject those up to `RATE`."""
    return [float(q) for q in false_discovery_control(ps)] if len(ps) else []


def _drawn_means(values: Floats, resamples: int, seed: int) -> Floats:
    """(resamples,) means of (n,) values drawn with replacement. Few values differ: drawn is how often each comes."""
    distinct, count = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), count / len(values), size=resamples)
    return np.asarray(drawn @ distinct / len(values), dtype=np.float64)


def _pcc(scores: Floats, predictions: Floats, weights: NDArray[Any]) -> Floats:
    """(B, k) Pearson correlations of (n,) scores and (k, n) predictions under (B, n) weights."""
    x, y = _standardised(scores[None])[0], _standardised(predictions)
    k = len(y)
    columns = np.concatenate([x[None], x[None] ** 2, y, y**2, x * y]).T  # (n, 2 + 3 k)
    moments = weights.astype(np.float64) @ columns / weights.sum(1, keepdims=True)
    mean_x, square_x, mean_y, square_y, cross = np.split(moments, [1, 2, 2 + k, 2 + 2 * k], axis=1)
    variances = (square_x - mean_x**2), (square_y - mean_y**2)
    constant = (variances[0] < EQUAL) | (variances[1] < EQUAL)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(constant, np.nan, (cross - mean_x * mean_y) / np.sqrt(variances[0] * variances[1])).clip(-1, 1)


def _standardised(rows: Floats) -> Floats:
    """Rows with mean 0 and variance 1, so that moments lose no digits; a constant row becomes 0."""
    d = rows - rows.mean(1, keepdims=True)
    d = np.where(np.ptp(rows, axis=1, keepdims=True) > 0, d, 0)
    largest = np.abs(d).max(1, keepdims=True)
    d = d / np.where(largest > 0, largest, 1)
    spread = d.std(1, keepdims=True)
    return np.asarray(d / np.where(spread > 0, spread, 1))
