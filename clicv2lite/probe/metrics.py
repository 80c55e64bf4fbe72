"""Pearson and Spearman correlation, their intervals, and their means over categories (CLICv2, 4.1 and 4.4; chapter 8).

A correlation that is not defined (fewer than two values, or all values equal) is nan here and null in a report.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clicv2lite.arrays import Floats
from clicv2lite.extras import extra

with extra("probe"):
    from scipy.stats import rankdata

SMALLEST_CATEGORY = 3  # two points always correlate perfectly
RESAMPLES = 2000
CHUNK = 2_000_000  # resampled values held at once: 16 MB an array


def pcc(scores: ArrayLike, predictions: ArrayLike) -> float:
    """Pearson's correlation coefficient, in float64.

    >>> from clicv2lite.probe.metrics import pcc
    >>> round(pcc([0.1, 0.4, 0.5, 0.9], [0.2, 0.3, 0.6, 0.8]), 3)
    0.943

    Args:
        scores, predictions: (n,), finite.

    Returns:
        A value in -1..1; nan when n < 2 or one of the two is constant.

    Raises:
        ValueError: different lengths, not one-dimensional, or a value that is not finite.
    """
    x, y = _pair(scores, predictions)
    return float(_pearson(x[None], y[None])[0])


def srcc(scores: ArrayLike, predictions: ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank. Else as `pcc`."""
    x, y = _pair(scores, predictions)
    return float(_pearson(rankdata(x)[None], rankdata(y)[None])[0])


def bootstrap(
    scores: ArrayLike,
    predictions: ArrayLike,
    statistic: Literal["pcc", "srcc"] = "pcc",
    resamples: int = RESAMPLES,
    seed: int | Sequence[int] = 0,
) -> Floats:
    """(resamples,) values of `statistic` on pairs drawn with replacement; nan where not defined."""
    x, y = _pair(scores, predictions)
    codes = [np.unique(v, return_inverse=True)[1] for v in (x, y)]  # ranks depend on order alone
    rng = np.random.default_rng(seed)
    out = np.full(resamples, np.nan)
    step = max(1, CHUNK // max(1, len(x)))
    for start in range(0, resamples if len(x) else 0, step):
        rows = min(step, resamples - start)
        index = rng.integers(len(x), size=(rows, len(x)))
        if statistic == "srcc":
            out[start : start + rows] = _pearson(*(_mean_ranks(code[index]) for code in codes))
        else:
            out[start : start + rows] = _pearson(x[index], y[index])
    return out


def interval(values: Floats, level: float = 0.95) -> list[float] | None:
    """[low, high] percentile interval of bootstrap values, the undefined ones left out; None when none is defined."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    tail = 50 * (1 - level)
    return [float(v) for v in np.percentile(values, [tail, 100 - tail])]


def report(
    scores: ArrayLike,
    predictions: ArrayLike,
    categories: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """What the command `probe` reports; ready for JSON (an undefined value is None, never nan).

    Args:
        scores: (n,) human ratings. predictions: (n,), any range. categories: (n,) names, or None.
        resamples: bootstrap resamples for the 95 % percentile intervals. seed: of the resampling.

    Returns:
        n, pcc, srcc, pcc_ci, srcc_ci over all rows; per_category: {name: {n, pcc, srcc, pcc_ci}}, None for a category
        with fewer than 3 rows or constant values; mean_pcc: mean over the categories where it is defined, mean_pcc_ci
        (resampled within each category), pcc_variance: population variance over the same categories (section 4.4).
        Without categories, per_category is {}, mean_pcc is pcc with its interval, and pcc_variance is None.
    """
    x, y = _pair(scores, predictions)
    pooled = interval(bootstrap(x, y, "pcc", resamples, seed))
    result: dict[str, Any] = {
        "n": len(x),
        "pcc": or_none(pcc(x, y)),
        "srcc": or_none(srcc(x, y)),
        "pcc_ci": pooled,
        "srcc_ci": interval(bootstrap(x, y, "srcc", resamples, seed)),
        "per_category": {},
        "mean_pcc": or_none(pcc(x, y)),
        "mean_pcc_ci": pooled,
        "pcc_variance": None,
    }
    if categories is None:
        return result
    if len(categories) != len(x):
        raise ValueError(f"{len(categories)} categories for {len(x)} scores")
    names = np.asarray(categories)
    kept, resampled = [], []
    for number, name in enumerate(sorted(set(categories))):
        rows = names == name
        enough = rows.sum() >= SMALLEST_CATEGORY
        r, rho = (f(x[rows], y[rows]) if enough else np.nan for f in (pcc, srcc))
        entry: dict[str, Any] = {"n": int(rows.sum()), "pcc": or_none(r), "srcc": or_none(rho), "pcc_ci": None}
        if np.isfinite(r):
            kept.append(r)
            resampled.append(bootstrap(x[rows], y[rows], "pcc", resamples, [seed, number]))
            entry["pcc_ci"] = interval(resampled[-1])
        result["per_category"][name] = entry
    result["mean_pcc"] = float(np.mean(kept)) if kept else None
    result["mean_pcc_ci"] = interval(np.mean(resampled, axis=0)) if kept else None
    result["pcc_variance"] = float(np.var(kept)) if kept else None
    return result


def _pair(scores: ArrayLike, predictions: ArrayLike) -> tuple[Floats, Floats]:
    x, y = (np.asarray(v, dtype=np.float64) for v in (scores, predictions))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"two vectors of one length are needed, not shapes {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a score or a prediction is not finite")
    return x, y


def _pearson(x: Floats, y: Floats) -> Floats:
    """(rows, n) and (rows, n) -> (rows,) correlation of each row."""
    if x.shape[1] < 2:
        return np.full(len(x), np.nan)
    constant = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)  # exact, where rounding makes a variance 1e-33
    dx, dy = (_unit(v - v.mean(axis=1, keepdims=True)) for v in (x, y))
    return np.where(constant, np.nan, np.clip((dx * dy).sum(axis=1), -1.0, 1.0))


def _unit(d: Floats) -> Floats:
    """Rows scaled to length 1; divided by their largest value first, so that no square under- or overflows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        d = d / np.abs(d).max(axis=1, keepdims=True)
        return d / np.linalg.norm(d, axis=1, keepdims=True)


def _mean_ranks(codes: NDArray[np.intp]) -> Floats:
    """(rows, n) codes 0..k-1 in the order of the values -> (rows, n) mean ranks, from counts: no sorting."""
    rows, k = len(codes), int(codes.max()) + 1
    count = np.bincount((codes + k * np.arange(rows)[:, None]).ravel(), minlength=rows * k).reshape(rows, k)
    rank = count.cumsum(axis=1) - (count - 1) / 2
    return np.take_along_axis(rank, codes, axis=1)


def or_none(value: float) -> float | None:
    """A number for JSON: None where it is not finite."""
    return float(value) if np.isfinite(value) else None
