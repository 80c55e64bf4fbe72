"""CLIC's data-set augmentation: beside each image, mosaics of its own small crops (Liu et al. 2024; book chapter 10).

CLICv2's best row, ViT-L/16*, was trained with it (table 1), and says no more. Facts from CLIC's published code
(github.com/xauat-liushipeng/CLIC, data/scm.py):

- three scales: square crops of a third, a sixth and a twelfth of the image's short side, in its own pixels, at random places;
- a mosaic is two by two cells, shuffled: two crops of one scale, and a changed copy of each. A copy is mirrored left-right and
  top-bottom, turned by up to 20 degrees (the corners become black) and gets other colours, each with probability 1/2;
- there are 3, 6 and 12 crops, taken in pairs, so 1, 3 and 6 mosaics. They are written *beside* the image, and replace nothing.

All mosaics of a scale are written under one file name there, so that only the last is left. Hence two sets: ``published`` has
the ten that are made, ``as-written`` the three that are left; these are the same pictures in both.

Our choices: the random numbers depend only on (seed, number of the image, number of the mosaic); a mosaic is packed like any
other image, so the largest is made smaller when its side is above ``--side``. Pack the files as they came: in images that are
small already, a twelfth of the side is a few pixels.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from clicv2lite.data.images import ImageError, read_image
from clicv2lite.data.packing.shards import MADE, Images, Make
from clicv2lite.extras import extra

with extra("train"):
    from torchvision.transforms.v2 import functional as change

Kind = Literal["published", "as-written"]
TURN = 20  # degrees
COLOUR = 0.2  # strength of brightness, contrast, saturation and hue


class Mosaic(NamedTuple):
    """One of the mosaics that every image has."""

    number: int  # 0..9, of the ten
    name: str  # l0; m0 to m2; s0 to s5
    parts: int  # a crop is the short side over this


def _ten() -> tuple[Mosaic, ...]:
    scales = [(f"{scale}{pair}", parts) for scale, parts in (("l", 3), ("m", 6), ("s", 12)) for pair in range(parts // 2)]
    return tuple(Mosaic(number, *scale) for number, scale in enumerate(scales))


MOSAICS: dict[Kind, tuple[Mosaic, ...]] = {
    "published": _ten(),
    "as-written": tuple(mosaic for mosaic in _ten() if mosaic.name in ("l0", "m2", "s5")),
}
"""Name -> the mosaics of an image."""


@dataclass(frozen=True, eq=False)
class WithMosaics:
    """Images to pack, each followed by its mosaics."""

    images: Images
    mosaics: Kind
    seed: int = 0

    def __len__(self) -> int:
        return len(self.images) * (1 + len(MOSAICS[self.mosaics]))

    def name(self, i: int) -> str:
        """The image's own, and for a mosaic `#mosaic-m2` behind it."""
        source, mosaic = self._which(i)
        return self.images.name(source) + (f"{MADE}{mosaic.name}" if mosaic else "")

    def read(self, i: int) -> bytes:
        """The bytes of the image; a mosaic is made of them."""
        return _read(self.images, self._which(i)[0])

    def about(self, i: int) -> dict[str, str]:
        """What is known of the image, and which mosaic it is."""
        source, mosaic = self._which(i)
        return self.images.about(source) | ({"mosaic": mosaic.name} if mosaic else {})

    def make(self, i: int) -> Make | None:
        """How a mosaic is made of the image's bytes; None for the image itself."""
        source, mosaic = self._which(i)
        return partial(_from_bytes, mosaic=mosaic, seed=self.seed, index=source) if mosaic else None

    def _which(self, i: int) -> tuple[int, Mosaic | None]:
        source, place = divmod(i, 1 + len(MOSAICS[self.mosaics]))
        return source, MOSAICS[self.mosaics][place - 1] if place else None


def draw_mosaic(image: Image.Image, mosaic: Mosaic, rng: np.random.Generator) -> Image.Image:
    """Two crops of one scale and a changed copy of each, in two by two cells.

    Args:
        image: RGB, its short side at least `mosaic.parts` pixels.

    Returns:
        RGB, square; its side is twice that of a crop.
    """
    side = min(image.size) // mosaic.parts
    cells: list[Image.Image] = []
    for _ in range(2):
        left, top = (int(rng.integers(extent - side + 1)) for extent in image.size)
        crop = image.crop((left, top, left + side, top + side))
        cells += [crop, changed(crop, rng)]
    out = Image.new("RGB", (2 * side, 2 * side))
    for place, cell in enumerate(rng.permutation(4)):
        out.paste(cells[cell], (place % 2 * side, place // 2 * side))
    return out


def changed(crop: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A copy of a crop: perhaps mirrored, on its head, turned, in other colours; each has the probability 1/2."""
    if rng.random() < 0.5:
        crop = change.horizontal_flip(crop)
    if rng.random() < 0.5:
        crop = change.vertical_flip(crop)
    if rng.random() < 0.5:
        crop = change.rotate(crop, rng.uniform(-TURN, TURN))
    if rng.random() < 0.5:
        adjust = [change.adjust_brightness, change.adjust_contrast, change.adjust_saturation, change.adjust_hue]
        for which in rng.permutation(4):
            crop = adjust[which](crop, rng.uniform(-COLOUR, COLOUR) + (which < 3))  # factors are around 1, the hue around 0
    return crop


def _from_bytes(data: bytes, name: str, mosaic: Mosaic, seed: int, index: int) -> Image.Image:
    image = _decoded(data, name.rpartition(MADE)[0])
    if min(image.size) < mosaic.parts:
        raise ImageError(f"{name}: a short side of {min(image.size)} pixels has no {mosaic.parts} parts; leave the image out")
    rng = np.random.Generator(np.random.Philox(key=[seed, mosaic.number], counter=[0, 0, 0, index]))
    return draw_mosaic(image, mosaic, rng)


@lru_cache(maxsize=1)  # an image's mosaics follow each other, and it may be far away
def _read(images: Images, source: int) -> bytes:
    return images.read(source)


@lru_cache(maxsize=1)
def _decoded(data: bytes, name: str) -> Image.Image:
    return read_image(data, name)
