"""Predictions kept with a report, so that two encoders can be compared image by image later (book chapter 11).

A vector of n numbers becomes one short string: 16 bits a number between the lowest and the highest, compressed. A step is
1 / 65535 of their range, which moves no correlation of 1,000 images by more than about a millionth.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clicv2lite.arrays import Floats, Rows
from clicv2lite.probe.task import Task

STEPS = 65535


def pack(values: ArrayLike) -> dict[str, Any]:
    """(n,) finite numbers as JSON: low, high, and `steps` between them, 16 bits each."""
    x = np.asarray(values, dtype=np.float64)
    low, high = float(x.min()), float(x.max())
    steps = np.round((x - low) / ((high - low) or 1.0) * STEPS).astype("<u2")
    return {"low": low, "high": high, "steps": base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()}


def unpack(packed: dict[str, Any]) -> Floats:
    """(n,) numbers as `pack` took them, each to within half a step."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(packed["steps"])), "<u2")
    return np.asarray(packed["low"] + steps * ((packed["high"] - packed["low"]) / STEPS), dtype=np.float64)


def keep(task: Task, rows: Rows, predictions: ArrayLike, tests: Sequence[Rows]) -> dict[str, Any]:
    """Predictions of some rows of a task, and what has to be equal for a comparison image by image.

    Args:
        rows: (m,) rows that were predicted. predictions: (m,), finite. tests: test folds, or the test rows alone.

    Returns:
        images: twelve hexadecimal digits of the names, scores and categories of the rows; folds: of the folds;
        rated: their scores and categories, packed; values: the predictions, packed.
    """
    names = [task.categories[i] for i in rows] if task.categories else None
    return kept([task.paths[i].name for i in rows], task.scores[rows], names, predictions, tests)


def kept(
    images: Sequence[str], scores: ArrayLike, categories: Sequence[str] | None, predictions: ArrayLike, tests: Sequence[Rows]
) -> dict[str, Any]:
    """As :func:`keep`, of the names, scores and categories of the m images that were predicted."""
    y = np.asarray(scores)
    return {
        "images": _digest([list(images), y.tolist(), categories]),
        "folds": _digest([test.tolist() for test in tests]),
        "rated": {"scores": pack(y), "categories": _pack_names(categories)},
        "values": pack(predictions),
    }


def unpack_names(packed: dict[str, Any] | None) -> list[str] | None:
    """(m,) categories of the `rated` part of :func:`keep`; None if there are none."""
    return [packed["names"][round(code)] for code in unpack(packed["codes"])] if packed else None


def _pack_names(names: Sequence[str] | None) -> dict[str, Any] | None:
    if names is None:
        return None
    known, codes = np.unique(names, return_inverse=True)
    return {"names": known.tolist(), "codes": pack(codes)}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
