"""A leaderboard with the reader on it: order six pictures by complexity, then compare with people and measures (chapter 1)."""

import io
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.probe.metrics import srcc
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import Widget, front_end, square, style_sheet

with extra("notebooks"):
    import traitlets as t
    from scipy.stats import rankdata

SIX = 6
LARGEST = 24  # pictures in the pool
THUMB, QUALITY = 96, 85  # side in pixels, and Pillow's JPEG quality: about 5 kB per picture
YOU = "you"


class Standing(NamedTuple):
    """One row of the leaderboard."""

    name: str
    spearman: float  # with the truth on the six pictures; nan if all values are equal
    ranks: tuple[float, ...]  # of the six pictures in the board's order; 1 is the most complex, equal values share a mean rank


class Board(NamedTuple):
    """The six pictures, and how well everyone orders them."""

    pictures: tuple[str, ...]  # in the order of the truth, the most complex first
    truth: tuple[float, ...]  # of these pictures
    standings: tuple[Standing, ...]  # the highest Spearman first; "you" is one of them
    chance: float  # share of all 720 orders that do at least as well as yours


def draw_six(count: int, seed: int) -> list[int]:
    """The pictures of the pool that are shown, in their first order: six of 0..count - 1 without repetition."""
    return np.argsort(uniforms(seed, count).numpy(), kind="stable")[:SIX].tolist()


def _rounded(value: float) -> float:
    return round(value, 9) + 0.0 if np.isfinite(value) else -2.0  # values equal up to rounding tie; undefined ones come last


def leaderboard(order: Sequence[str], truth: Mapping[str, float], measures: Mapping[str, Mapping[str, float]]) -> Board:
    """Compare an order and some measures with the truth, by :func:`clicv2lite.probe.metrics.srcc`.

    Args:
        order: names of six pictures, the most complex first.
        truth: picture -> complexity, higher is more complex.
        measures: measure -> picture -> value.
    """
    pictures = sorted(order, key=lambda name: -truth[name])
    scores = [truth[name] for name in pictures]
    mine = [-order.index(name) for name in pictures]
    columns = {YOU: mine} | {name: [values[p] for p in pictures] for name, values in measures.items()}
    standings = [
        Standing(name, srcc(scores, values), tuple(rankdata(-np.asarray(values, float)).tolist()))
        for name, values in columns.items()
    ]
    possible = [_rounded(srcc(scores, values)) for values in permutations(range(SIX))]
    return Board(
        pictures=tuple(pictures),
        truth=tuple(scores),
        standings=tuple(sorted(standings, key=lambda row: -_rounded(row.spearman))),
        chance=float(np.mean([value >= _rounded(standings[0].spearman) for value in possible])),
    )


def _column(what: str, values: Mapping[str, float] | Sequence[float], names: list[str]) -> list[float]:
    """Values of a measure in the order of the names.

    Raises:
        UserError: if a value is missing or not finite.
    """
    if isinstance(values, Mapping):
        if missing := [name for name in names if name not in values]:
            raise UserError(f"{what}: no value for {', '.join(missing)}; give one for each picture")
        values = [values[name] for name in names]
    column = [float(value) for value in values]
    if len(column) != len(names):
        raise UserError(f"{what}: {len(column)} values for {len(names)} pictures; give one for each picture")
    if not np.isfinite(column).all():
        name = names[int(np.isfinite(column).argmin())]
        raise UserError(f"{what}: the value of {name} is not finite; leave the picture out")
    return column


def _thumb(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(square(picture, THUMB)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


class Leaderboard(Widget):
    """Order six pictures of a pool by complexity, then compare your order with people's ratings and with the measures.

    ``order``, ``revealed`` and ``seed`` have the same values in Python and in every view of the widget.

    Args:
        images: name -> picture (H, W, 3) uint8, 6 to 24 of them. Their central squares are shown at 96 px.
        ratings: the truth: name -> complexity, or one number per picture in the same order; higher is more complex.
        measures: measure -> values, in the same form as the ratings.
        truth_label: what the ratings are, such as "people's ratings" or "level of the generator".
        seed: decides which six are shown; the button "New six" takes the next seed.
        order: names of the six, most complex first. Default: as they are drawn.
        revealed: whether the comparison is shown.

    Raises:
        UserError: if the pool is too small or too large, something is not a picture, or a value is missing or not finite.
        traitlets.TraitError: if the order does not consist of these six pictures.
    """

    settings = ("seed", "order", "revealed")
    _esm = front_end("leaderboard")
    _css = style_sheet("leaderboard")

    thumbs = t.List(t.Bytes(), read_only=True).tag(sync=True)  # JPEG files
    seed = t.Int(0, min=0, max=2**32 - 1, help="which six pictures are shown").tag(sync=True)
    order = t.List(t.Unicode(), help="names of the six, most complex first").tag(sync=True)
    revealed = t.Bool(False, help="show the comparison").tag(sync=True)

    def __init__(
        self,
        images: Mapping[str, np.ndarray],
        ratings: Mapping[str, float] | Sequence[float],
        measures: Mapping[str, Mapping[str, float] | Sequence[float]],
        *,
        truth_label: str = "people's ratings",
        seed: int = 0,
        order: Sequence[str] | None = None,
        revealed: bool = False,
    ) -> None:
        if not SIX <= len(images) <= LARGEST:
            raise UserError(f"images: a pool of {SIX} to {LARGEST} is needed, got {len(images)}; add or leave out some")
        names = [str(name) for name in images]
        self._thumbs = [_thumb(picture) for picture in images.values()]
        self._constants = {
            "names": names,
            "truth": _column("ratings", ratings, names),
            "truth_label": truth_label,
            # pairs, because a stored page sorts the keys of an object
            "measures": [[str(name), _column(f"measures, {name}", values, names)] for name, values in measures.items()],
        }
        super().__init__(seed=seed)
        if order is not None:
            self.order = list(order)
        self.revealed = revealed

    @t.default("thumbs")
    def _default_thumbs(self) -> list[bytes]:
        return self._thumbs

    @t.default("order")
    def _default_order(self) -> list[str]:
        return self.six

    @t.observe("seed")
    def _new_six(self, _: Any) -> None:
        if sorted(self.order) != sorted(self.six):  # the front end sends the new order itself
            self.order, self.revealed = self.six, False

    @t.validate("order")
    def _of_the_six(self, proposal: dict[str, Any]) -> list[str]:
        if sorted(proposal["value"]) != sorted(self.six):
            raise t.TraitError(f"the 'order' trait holds {', '.join(self.six)} in any order, got {proposal['value']}")
        return list(proposal["value"])

    @property
    def six(self) -> list[str]:
        """Names of the six pictures of this seed, in the order of the draw."""
        names: list[str] = self.constants["names"]
        return [names[i] for i in draw_six(len(names), self.seed)]

    def result(self) -> Board:
        """What "Compare" shows for the current order."""
        names, truth = self.constants["names"], self.constants["truth"]
        measures = {name: dict(zip(names, values, strict=True)) for name, values in self.constants["measures"]}
        return leaderboard(self.order, dict(zip(names, truth, strict=True)), measures)
