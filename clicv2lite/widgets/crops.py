"""Two crops of one picture to play with: how far does their complexity differ? (book chapter 2)."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from clicv2lite.arrays import Floats
from clicv2lite.evaluate.pair_bias import PROXIES
from clicv2lite.evaluate.pair_bias import twice as share_of_twice
from clicv2lite.extras import extra
from clicv2lite.method.entropy import LUMA, default_bins
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import Widget, front_end, squares, style_sheet

with extra("notebooks"):
    import traitlets as t

SIDE, QUALITY = 192, 85  # pixels, and Pillow's JPEG quality: about 12 kB a picture
PATCH = 16  # of the entropy, pixels
MEASURES = {"edge density": ("", 0.35), "patch entropy": ("bits", 5.0)}  # the chapter's; unit, and the end of the axis
AREAS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
PAIRS = 100  # at random, by one press of the button

Place = Sequence[float]  # x and y in 0..1: 0 at the left or the top, 1 at the right or the bottom, for crops of any size


class PairReading(NamedTuple):
    """What the widget says."""

    query: float
    key: float
    pairs: Floats  # (n, 2) query and key of the pairs kept or drawn
    gap: float  # mean difference in these pairs; nan without one
    twice: float  # share of them in which one is at least twice the other


def random_pairs(seed: int) -> list[list[float]]:
    """The places of ``PAIRS`` pairs: query x, query y, key x, key y, each in 0..1."""
    return uniforms(seed, 4 * PAIRS).reshape(PAIRS, 4).tolist()


def cut(picture: np.ndarray, place: Place, area: float) -> np.ndarray:
    """A square crop (s, s, 3) of a square picture (S, S, 3) uint8: ``area`` is its share of the picture."""
    full = len(picture)
    side = int(full * area**0.5 + 0.5)  # halves up, as Math.round
    left, top = (int(at * (full - side) + 0.5) for at in place)
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


class CropPairs(Widget):
    """Move a query and a key crop over a picture, compare their complexity, and draw a hundred such pairs at random.

    Args:
        images: name -> picture (H, W, 3) uint8, or one picture. Their central squares are shown at 192 px, as JPEG files.
        picture: name of the one that is shown. Default: the first.
        measure: "edge density" or "patch entropy", see :data:`clicv2lite.evaluate.pair_bias.PROXIES`.
        area: of each crop, as a share of the picture, above 0.02 and at most 1.
        seed: of the random pairs.

    Raises:
        UserError: if something is not a picture.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings = ("picture", "measure", "area", "seed")
    _esm = front_end("entropy", "canny", "crops")
    _css = style_sheet("crops")

    files = t.List(t.Bytes(), read_only=True).tag(sync=True)  # JPEG
    picture = t.Unicode("", help="name of the picture").tag(sync=True)
    measure = t.Enum[str](tuple(MEASURES), next(iter(MEASURES)), help="of complexity").tag(sync=True)
    area = t.Float(0.25, min=0.02, max=1, help="of each crop, as a share of the picture").tag(sync=True)
    query = t.List(t.Float(min=0, max=1), [0.5, 0.05], minlen=2, maxlen=2, help="place of the query crop").tag(sync=True)
    key = t.List(t.Float(min=0, max=1), [0.95, 0.9], minlen=2, maxlen=2, help="place of the key crop").tag(sync=True)
    kept = t.List(t.List(t.Float(min=0, max=1), minlen=4, maxlen=4), help="pairs kept by hand").tag(sync=True)
    drawn = t.Bool(False, help="show the random pairs of this seed").tag(sync=True)
    seed = t.Int(0, min=0, max=2**32 - 1, help="of the random pairs").tag(sync=True)

    def __init__(
        self,
        images: np.ndarray | Mapping[str, np.ndarray],
        *,
        picture: str | None = None,
        measure: str = "edge density",
        area: float = 0.25,
        seed: int = 0,
    ) -> None:
        pictures = squares(images, SIDE)
        self._files = [_jpeg(each) for each in pictures.values()]
        self._constants = {
            "pictures": list(pictures),
            "areas": list(AREAS),
            "measures": [[name, *about] for name, about in MEASURES.items()],
            "pairs": PAIRS,
            "patch": PATCH,
            "bins": default_bins(PATCH),
            "luma": list(LUMA),
        }
        first = next(iter(pictures)) if picture is None else picture
        super().__init__(picture=first, measure=measure, area=area, seed=seed)

    @t.default("files")
    def _default_files(self) -> list[bytes]:
        return self._files

    @t.validate("picture")
    def _known(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in self.constants["pictures"]:
            raise t.TraitError(f"the 'picture' trait is one of {self.constants['pictures']}, not {proposal['value']!r}")
        return str(proposal["value"])

    @property
    def image(self) -> np.ndarray:
        """The picture that is shown, (192, 192, 3) uint8, out of its JPEG file."""
        file = self.files[self.constants["pictures"].index(self.picture)]
        return np.asarray(Image.open(io.BytesIO(file)))

    def result(self) -> PairReading:
        """What is shown now, computed by the package's own measures."""
        image, measure = self.image, PROXIES[self.measure]
        places = [[*self.query, *self.key], *self.kept, *(random_pairs(self.seed) if self.drawn else [])]
        rows = [[measure(cut(image, some, self.area)) for some in (row[:2], row[2:])] for row in places]
        (query, key), pairs = rows[0], np.array(rows[1:], np.float64).reshape(-1, 2)
        some = len(pairs) > 0
        gap = float(np.abs(pairs[:, 0] - pairs[:, 1]).mean()) if some else float("nan")
        return PairReading(query, key, pairs, gap, share_of_twice(pairs.T) if some else float("nan"))


def _jpeg(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, subsampling=0)  # every browser decodes full chroma alike
    return file.getvalue()
