"""Lists of images in tars, from a thousand to a million: opening them, opening them again, the first batch."""

import io
import os
import tarfile
from itertools import count
from pathlib import Path

from PIL import Image

from clicv2lite.bench.growth.work import Work
from clicv2lite.bench.measure import Operation
from clicv2lite.data.packing.shards import add_member
from clicv2lite.data.sources import open_images
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.recipes.library import get_recipe

IN_A_TAR, SIDE = 10_000, 32  # images in a tar; their side in pixels
LONG_AGO = 946_684_800  # an index is kept of a tar whose time stamp is old


def works() -> list[Work]:
    """The tars are one file under many names: what grows is the list, not the disk that is read."""
    sizes = (1_000, 10_000, 100_000, 1_000_000)
    return [
        Work("open tars for the first time", "images", sizes, "1: each header is read once", _first),
        Work("open tars again", "images", sizes, "1: an index holds two numbers and a name an image", _again),
        Work("first batch of 64, tars open", "images", sizes, "0: the order of an epoch is kept", _batch),
    ]  # fmt: skip


def tars(images: int, folder: Path) -> list[str]:
    """Tars with so many images in all."""
    image = io.BytesIO()
    Image.effect_noise((SIDE, SIDE), 64).convert("RGB").save(image, "JPEG")
    first = folder / "first.tar"
    with tarfile.open(first, "w") as tar:
        for i in range(min(images, IN_A_TAR)):
            add_member(tar, f"{i:08d}.jpg", image.getvalue())
    os.utime(first, (LONG_AGO, LONG_AGO))
    found = [folder / f"{t:06d}.tar" for t in range(max(1, images // IN_A_TAR))]
    for path in found:
        os.link(first, path)
    return [str(path) for path in found]


def _first(images: int, folder: Path) -> Operation:
    paths, number = tars(images, folder), count()

    def run() -> None:
        os.environ["CLICV2LITE_CACHE"] = str(folder / f"cache-{next(number)}")
        open_images(paths)

    return run


def _again(images: int, folder: Path) -> Operation:
    paths = tars(images, folder)
    os.environ["CLICV2LITE_CACHE"] = str(folder / "cache")
    open_images(paths)
    return lambda: open_images(paths)


def _batch(images: int, folder: Path) -> Operation:
    os.environ["CLICV2LITE_CACHE"] = str(folder / "cache")
    opened, recipe = open_images(tars(images, folder)), get_recipe("lite", ["store=0", "crop=resized", "workers=1"])

    def run() -> None:
        with Feed(opened, recipe) as feed:
            next(iter(feed))

    return run
