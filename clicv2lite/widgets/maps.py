"""Maps of features to brush: which classes and which scores lie in a part of a t-SNE map? (book chapter 9)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from clicv2lite.arrays import Floats
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.widgets.explorer import Widget, front_end, style_sheet

with extra("notebooks"):
    import traitlets as t

LARGEST = 8  # categories, as many as there are colours
BINS = 10  # of the scores
WHOLE = 2**16 - 1  # the end of an axis: positions are stored as 16-bit integers
MARGIN = 0.03  # around the points, as a share of the map


class Brushed(NamedTuple):
    """Who is in a selection. Shares have one value a category, or one a bin of the scores."""

    chosen: np.ndarray  # (n,) bool
    classes: Floats  # (C,) share of each category in the selection; nan if it is empty, here and below
    classes_by_chance: Floats  # (C,) its share of all images
    classes_margin: Floats  # (C,) two standard deviations of a random selection of as many images
    scores: Floats  # (BINS,) share of each tenth of the scores
    scores_by_chance: Floats
    scores_margin: Floats
    mean_score: float
    mean_by_chance: float
    mean_margin: float


def _shares(index: np.ndarray, size: int, chosen: np.ndarray) -> tuple[Floats, Floats, Floats]:
    total, n = len(chosen), int(chosen.sum())
    everyone = np.bincount(index, minlength=size) / total
    here = np.bincount(index[chosen], minlength=size) / n if n else np.full(size, np.nan)
    # drawn without replacement: hypergeometric
    deviation = np.sqrt(everyone * (1 - everyone) / n * (total - n) / (total - 1)) if n else np.full(size, np.nan)
    return here, everyone, 2 * deviation


def bin_of(scores: np.ndarray) -> np.ndarray:
    """(n,) int in 0..BINS - 1, the tenth of each score in thousandths; the last holds both its ends."""
    return np.minimum(scores * BINS // 1000, BINS - 1)


def brushed(chosen: np.ndarray, categories: np.ndarray, scores: np.ndarray, classes: int) -> Brushed:
    """Compare a selection with all images.

    Args:
        chosen: (n,) bool, n >= 2.
        categories: (n,) int, 0..classes - 1.
        scores: (n,) int, thousandths, 0..1000.
        classes: number of categories.
    """
    level = bin_of(scores)
    n, total, values = int(chosen.sum()), len(chosen), scores / 1000
    mean = float(values[chosen].mean()) if n else float("nan")
    margin = 2 * float(values.std() * np.sqrt((total - n) / (total - 1) / n)) if n else float("nan")
    everyone = float(values.mean())
    return Brushed(chosen, *_shares(categories, classes, chosen), *_shares(level, BINS, chosen), mean, everyone, margin)


class MapExplorer(Widget):
    """Drag a rectangle over a map, or choose a class or a range of scores: see who that is, and where in a second map.

    Args:
        maps: name -> (n, 2) positions of the same n images, one map a model.
        categories: (n,) names, of at most 8 kinds.
        scores: (n,) in 0..1.
        left, right: names of the two maps that are shown first. Default: the first and the last.
        colour: "category" or "score".

    Raises:
        UserError: if there are no maps, the lengths differ, a value is not finite, or there are too many categories.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings = ("left", "right", "colour")
    _esm = front_end("maps")
    _css = style_sheet("maps")

    positions = t.Bytes(read_only=True).tag(sync=True)  # (maps, n, 2) little-endian uint16, y downwards
    kinds = t.Bytes(read_only=True).tag(sync=True)  # (n,) uint8
    levels = t.Bytes(read_only=True).tag(sync=True)  # (n,) little-endian uint16, thousandths of the score
    left = t.Unicode("", help="name of the map on the left").tag(sync=True)
    right = t.Unicode("", help="name of the map on the right").tag(sync=True)
    colour = t.Enum[str](("category", "score"), "category", help="what the colours show").tag(sync=True)
    selection = t.Dict(help="{}, or map and box (x0, y0, x1, y1 in 0..1, y downwards), or category, or bin").tag(sync=True)

    def __init__(
        self,
        maps: Mapping[str, ArrayLike],
        categories: Sequence[str],
        scores: ArrayLike,
        *,
        left: str | None = None,
        right: str | None = None,
        colour: str = "category",
    ) -> None:
        names, values = sorted({str(each) for each in categories}), np.asarray(scores, np.float64)
        n = len(categories)
        if not maps or n < 2:
            raise UserError("maps: needed are at least one map and two images")
        if len(names) > LARGEST:
            raise UserError(f"categories: {len(names)} kinds are more than the {LARGEST} colours; join some")
        if values.shape != (n,) or not ((values >= 0) & (values <= 1)).all():
            raise UserError(f"scores: needed are {n} numbers in 0..1, one for each category")
        self._positions = {str(name): _fitted(str(name), points, n) for name, points in maps.items()}
        self._kinds = np.array([names.index(str(each)) for each in categories])
        self._levels = np.floor(1000 * values + 0.5).astype(int)
        self._constants: dict[str, Any] = {"maps": list(self._positions), "categories": names, "bins": BINS, "whole": WHOLE}
        ends = [next(iter(self._positions)), next(reversed(self._positions))]
        super().__init__(left=ends[0] if left is None else left, right=ends[1] if right is None else right, colour=colour)

    @t.default("positions")
    def _default_positions(self) -> bytes:
        return b"".join(each.astype("<u2").tobytes() for each in self._positions.values())

    @t.default("kinds")
    def _default_kinds(self) -> bytes:
        return self._kinds.astype(np.uint8).tobytes()

    @t.default("levels")
    def _default_levels(self) -> bytes:
        return self._levels.astype("<u2").tobytes()

    @t.validate("left", "right")
    def _is_there(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in self._positions:
            name, known = proposal["trait"].name, ", ".join(self._positions)
            raise t.TraitError(f"the '{name}' trait is one of {known}, not {proposal['value']!r}")
        return str(proposal["value"])

    @t.validate("selection")
    def _selects(self, proposal: dict[str, Any]) -> dict[str, Any]:
        match proposal["value"]:
            case {"map": name, "box": box, **rest} if not rest and name in self._positions and len(box) == 4:
                return {"map": name, "box": [float(x) for x in box]}
            case {"category": name, **rest} if not rest and name in self._constants["categories"]:
                return {"category": name}
            case {"bin": k, **rest} if not rest and k in range(BINS):
                return {"bin": int(k)}
            case value if value:
                raise t.TraitError(f"the 'selection' trait is {{}}, or map and box, or category, or bin; not {value}")
        return {}

    def result(self) -> Brushed:
        """Who is selected now; everybody if nothing is."""
        if box := self.selection.get("box"):
            points = self._positions[self.selection["map"]] / WHOLE
            chosen = ((points >= box[:2]) & (points <= box[2:])).all(1)
        elif "category" in self.selection:
            chosen = self._kinds == self.constants["categories"].index(self.selection["category"])
        elif "bin" in self.selection:
            chosen = bin_of(self._levels) == self.selection["bin"]
        else:
            chosen = np.full(len(self._kinds), True)
        return brushed(chosen, self._kinds, self._levels, len(self.constants["categories"]))


def _fitted(name: str, points: ArrayLike, n: int) -> np.ndarray:
    """Positions as integers 0..WHOLE, both axes at one scale, y downwards as on a screen.

    Raises:
        UserError: for another shape, or a position that is not finite.
    """
    at = np.asarray(points, np.float64)
    if at.shape != (n, 2) or not np.isfinite(at).all():
        raise UserError(f"maps, {name}: needed are {n} finite positions (n, 2), got an array of shape {at.shape}")
    low, high = at.min(0), at.max(0)
    share = 0.5 + (at - (low + high) / 2) / (float((high - low).max()) or 1.0) * (1 - 2 * MARGIN)
    return np.floor(np.column_stack([share[:, 0], 1 - share[:, 1]]) * WHOLE + 0.5).astype(int)
