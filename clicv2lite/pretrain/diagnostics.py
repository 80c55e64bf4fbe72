"""Numbers that show a collapse before the loss does: the spread of features, the gap between pairs (chapters 6 and 7)."""

import torch
from torch import Tensor

ROWS = 2048  # number of features that are used: enough for d = 256, cheap on a CPU


def feature_std(features: Tensor) -> float:
    """Spread of unit-length features: 0 if all of them are one point, 1 if they fill the sphere evenly.

    Args:
        features: (N, d), unit length.

    Returns:
        the standard deviation, averaged over dimensions, times sqrt(d) (SimSiam, figure 2).
    """
    return float(features.float().std(0, correction=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """How many dimensions the features use: exp of the entropy of the singular values (Roy and Vetterli, 2007).

    Args:
        features: (N, d).

    Returns:
        between 1 (a line) and min(N, d). The value does not depend on scale: collapsed features that differ only by rounding
        errors can have a high rank. So read it together with :func:`feature_std`.
    """
    values = torch.linalg.svdvals(features[:ROWS].float() - features[:ROWS].float().mean(0))
    p = values / values.sum().clamp(min=1e-12)
    return float(torch.special.entr(p).sum().exp())


def similarities(queries: Tensor, keys: Tensor) -> tuple[float, float]:
    """Mean cosine of the positive pairs, and of all other pairs, for unit-length features (N, d)."""
    queries, keys = queries[:ROWS].float(), keys[:ROWS].float()
    positive = (queries * keys).sum()
    every = queries.sum(0) @ keys.sum(0)  # the sum over all pairs, without computing each pair
    n = len(queries)
    return float(positive / n), float((every - positive) / max(1, n * (n - 1)))


def diagnostics(queries: Tensor, keys: Tensor) -> dict[str, float]:
    """The four numbers of this module for features (B, V, d)."""
    q, k = queries.flatten(0, 1), keys.flatten(0, 1)
    positive, negative = similarities(q, k)
    return {
        "feature_std": feature_std(q),
        "effective_rank": effective_rank(q),
        "positive_similarity": positive,
        "negative_similarity": negative,
    }
