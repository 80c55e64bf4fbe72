"""What a score means: where it stands among the images of a reference, and how far ratings lie from it (book chapter 12).

A file `norms.json` beside a model holds both; `clicv2lite norms` makes it. Percentile and half-width depend on the score
alone, so a table of scores can be read again against another reference.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clicv2lite.arrays import Floats
from clicv2lite.encoders.weight_files import digest_of
from clicv2lite.errors import UserError
from clicv2lite.files import reason, write_json
from clicv2lite.heads.base import Head
from clicv2lite.json_object import read_object
from clicv2lite.ranges import shown

NORMS_FILE = "norms.json"
POINTS = 201  # quantiles that are kept: one for every half percent


@dataclass(frozen=True)
class Rating:
    """A score and what it means; a value that the model's norms do not say is None."""

    score: float  # 0..1
    percentile: float | None  # share of the reference's images that score no higher, 0..100
    low: float | None  # the interval, cut to 0..1: see `Norms.half_width`
    high: float | None
    flags: tuple[str, ...]  # of :data:`clicv2lite.data.flags.FLAGS`


@dataclass(frozen=True)
class Norms:
    """Quantiles of a reference's scores, and half-widths of intervals."""

    reference: str  # what the images are, in words
    head: str  # `fingerprint` of the head that gave the scores
    quantiles: Floats  # (POINTS,) ascending, from the lowest score to the highest
    kinds: Mapping[str, Floats] = field(default_factory=dict)  # the same, of the images of one kind
    edges: Floats | None = None  # (b - 1,) ascending: the scores between which each half-width holds
    half: Floats | None = None  # (b,)
    within: float | None = None  # PCC with ratings: mean of those within one category
    pooled: float | None = None  # PCC with ratings: of all categories together

    def percentile(self, score: float) -> float:
        """Share of the reference's images that score no higher, 0..100: a tie counts whole."""
        quantiles = self._quantiles
        above, last = bisect_right(quantiles, score), len(quantiles) - 1
        if above in (0, last + 1):
            return 100.0 if above else 0.0
        low, high = quantiles[above - 1], quantiles[above]
        return 100 * (above - 1 + (score - low) / (high - low)) / last

    def half_width(self, score: float) -> float | None:
        """Half the width of the interval around a score that holds the rating of nine of ten rated images; None if not known.

        A rating is the mean of a crowd that compared images of one category, scaled to 0..1 within that category.
        """
        if self._half is None:
            return None
        edges, half = self._half
        return half[bisect_right(edges, score)]

    @cached_property
    def _quantiles(self) -> list[float]:
        """As a list: a table of a million scores asks for one number at a time, which NumPy is slow at."""
        found: list[float] = self.quantiles.tolist()
        return found

    @cached_property
    def _half(self) -> tuple[list[float], list[float]] | None:
        return None if self.half is None or self.edges is None else (self.edges.tolist(), self.half.tolist())

    def rating(self, score: float, flags: tuple[str, ...]) -> Rating:
        """A score with what it means."""
        half = self.half_width(score)
        low, high = (None, None) if half is None else (max(0.0, score - half), min(1.0, score + half))
        return Rating(score, self.percentile(score), low, high, flags)

    def to_json(self) -> dict[str, Any]:
        """What a file of norms must hold; `read_norms` reads it."""
        edges, half = (None if values is None else values.tolist() for values in (self.edges, self.half))
        interval = {"edges": edges, "half": half, "within": self.within, "pooled": self.pooled}
        return {
            "reference": self.reference,
            "head": self.head,
            "quantiles": self.quantiles.tolist(),
            "kinds": {kind: {"quantiles": values.tolist()} for kind, values in self.kinds.items()},
            "interval": interval if half else None,
        }

    def of_kind(self, kind: str) -> "Norms":
        """The same, with percentiles among the reference's images of one kind.

        Raises:
            UserError: if it has none of this kind.
        """
        if kind not in self.kinds:
            known = ", ".join(sorted(self.kinds)) or "none"
            raise UserError(f"--kind {kind}: the reference {self.reference} has no such kind; its kinds are {known}")
        return replace(self, reference=f"{self.reference}: {kind}", quantiles=self.kinds[kind])


def quantiles(scores: Floats) -> Floats:
    """(POINTS,) quantiles of (n,) scores."""
    return np.quantile(scores, np.linspace(0, 1, POINTS))


def fingerprint(head: Head) -> str:
    """16 hexadecimal digits of a head's numbers: another fit, or a fit on another encoder, has others."""
    return digest_of(head.tensors())[:16]


def own_norms(folder: Path, head: Head) -> Norms | None:
    """The norms in a model's folder; None if there are none, or if the head was fitted again and nobody made norms for it."""
    norms = read_norms(folder / NORMS_FILE) if (folder / NORMS_FILE).is_file() else None
    return norms if norms and norms.head == fingerprint(head) else None


def write_norms(path: Path, norms: Norms) -> None:
    """Write norms. A file that says the same stays: it may say more, as how the numbers were made."""
    try:
        same = path.is_file() and read_norms(path).to_json() == norms.to_json()
    except UserError:  # it is damaged
        same = False
    if not same:
        write_json(path, norms.to_json())


def read_norms(path: Path) -> Norms:
    """The norms in a file of `clicv2lite norms`.

    Raises:
        UserError: if it cannot be read or is none.
    """
    try:
        about = read_object(path.read_bytes())
        kinds = {str(kind): _ascending(entry["quantiles"]) for kind, entry in about["kinds"].items()}
        interval: dict[str, Any] = about["interval"] or {}
        edges, half = (np.array(interval[key], dtype=np.float64) for key in ("edges", "half")) if interval else (None, None)
        if edges is not None and half is not None and (edges.ndim, half.shape) != (1, (len(edges) + 1,)):
            raise ValueError("there is one half-width more than edges")
        levels = [None if value is None else float(value) for value in (interval.get("within"), interval.get("pooled"))]
        reference, head = (str(about[key]) for key in ("reference", "head"))
        return Norms(reference, head, _ascending(about["quantiles"]), kinds, edges, half, *levels)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)}); make it with `clicv2lite norms`") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = shown(" ".join(str(error).split()))
        raise UserError(f"{path}: these are no norms of clicv2lite ({why}); make them with `clicv2lite norms`") from None


def _ascending(values: Any) -> Floats:
    numbers = np.array(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2 or not (np.diff(numbers) >= 0).all():  # nan is refused, too
        raise ValueError("its quantiles do not ascend")
    return numbers
