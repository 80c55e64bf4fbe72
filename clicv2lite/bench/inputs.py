"""From a JPEG's bytes to a training crop: the feed's way against Pillow and torchvision, on one core."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from clicv2lite.bench.measure import Operation, Timing, compare
from clicv2lite.data.sources import open_images
from clicv2lite.method.views import crop_shares
from clicv2lite.pretrain.input.feed import crop_box
from clicv2lite.score.scoring import shared_cores

IMAGES, SIZE, CROP_MIN = 64, 224, 0.5  # images of a round, side of the crop, smallest area; the paper's recipe

Crop = Callable[..., Tensor]


def bench_inputs() -> list[Timing]:
    """Decode, cut out and resize, at equal boxes and equal pixels (to two levels of 255)."""
    from clicv2lite.data.decode import crop, crop_by_pillow

    files, what = photographs_as_jpeg()
    noise = torch.rand(len(files), 4, generator=torch.Generator().manual_seed(0))
    shares = torch.stack([*crop_shares(noise, CROP_MIN), noise[:, 2], noise[:, 3]], 1).numpy()

    def each(way: Crop) -> Operation:
        return lambda: [way(data, box=partial(crop_box, share), size=SIZE) for data, share in zip(files, shares, strict=True)]

    with shared_cores(torch.get_num_threads()):  # one thread: the feed decodes one image on each core
        name, note = f"decode and crop {len(files)} JPEGs to {SIZE} px on one core", f"{what}; equal to two levels of 255"
        references = {"pillow_and_torchvision": each(crop_by_pillow)}
        timing = compare(name, each(crop), references, target={"pillow_and_torchvision": 2.0}, note=note)
    return [timing]


def photographs_as_jpeg() -> tuple[list[bytes], str]:
    """Photographs of $CLICV2LITE_DATA/photos if it is there, else those of the wheels as `clicv2lite data pack` stores them."""
    data = os.environ.get("CLICV2LITE_DATA")
    folder = Path(data) / "photos" if data else None
    tars = sorted(map(str, folder.glob("*.tar"))) if folder else []
    if tars:
        images = open_images(tars)
        return [images.read(i) for i in range(min(IMAGES, len(images)))], "$CLICV2LITE_DATA/photos"
    from clicv2lite.data.packing.shards import small_jpeg

    images = open_images(["embedded"])
    small = [small_jpeg(images.read(i), images.names[i], side=256, quality=90).data for i in range(len(images))]
    return [small[i % len(small)] for i in range(IMAGES)], "embedded photographs, short side 256"
