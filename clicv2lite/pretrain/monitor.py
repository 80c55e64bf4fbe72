"""What is watched while a model trains: collapse diagnostics and a log that survives a restart (book chapter 7)."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clicv2lite.atomic import write_bytes

ROWS = 2048  # features looked at: enough for d = 256, cheap on a CPU


def feature_std(features: Tensor) -> float:
    """Spread of unit-length features, 0 when they have collapsed to a point, 1 when they fill the sphere evenly.

    Args:
        features: (N, d), unit length.

    Returns:
        the mean over dimensions of the standard deviation, times sqrt(d) (SimSiam, figure 2).
    """
    return float(features.float().std(0, correction=0).mean() * features.shape[1] ** 0.5)


def effective_rank(features: Tensor) -> float:
    """How many dimensions the features use: exp of the entropy of the singular values (Roy and Vetterli, 2007).

    Args:
        features: (N, d).

    Returns:
        between 1 (a line) and min(N, d). Blind to scale: a collapsed cloud of rounding errors can be as round as a healthy one,
        so read it beside :func:`feature_std`.
    """
    values = torch.linalg.svdvals(features[:ROWS].float() - features[:ROWS].float().mean(0))
    p = values / values.sum().clamp(min=1e-12)
    return float(torch.special.entr(p).sum().exp())


def similarities(queries: Tensor, keys: Tensor) -> tuple[float, float]:
    """Mean cosine of the positive pairs, and of all other pairs, of (N, d) unit-length features."""
    queries, keys = queries[:ROWS].float(), keys[:ROWS].float()
    positive = (queries * keys).sum()
    every = queries.sum(0) @ keys.sum(0)  # the sum of all pairs without forming them
    n = len(queries)
    return float(positive / n), float((every - positive) / max(1, n * (n - 1)))


def diagnostics(queries: Tensor, keys: Tensor) -> dict[str, float]:
    """The four numbers of this module for (B, V, d) features."""
    q, k = queries.flatten(0, 1), keys.flatten(0, 1)
    positive, negative = similarities(q, k)
    return {
        "feature_std": feature_std(q),
        "effective_rank": effective_rank(q),
        "positive_similarity": positive,
        "negative_similarity": negative,
    }


class Log:
    """metrics.jsonl: one JSON object a line. On resume, lines after the checkpoint are dropped: they will come again.

    Attributes:
        seconds: that earlier parts of the run took, up to the last line kept.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [row for row in read_log(path) if row["step"] <= step]
        write_bytes(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self.seconds: float = kept[-1]["seconds"] if kept else 0.0
        self.file = path.open("a")

    def write(self, row: dict[str, Any]) -> None:
        """Append a row and flush."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics.jsonl; [] if there is none; a last line that a kill cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
