"""From JPEG files, and from tars of them, to batches of crops: torchvision's and WebDataset's ways against our feed."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch

from clicv2lite.bench.inputs import CROP_MIN, SIZE
from clicv2lite.bench.peers.jpegs import stored
from clicv2lite.bench.peers.row import Comparison, Sides
from clicv2lite.data.sources import ImageSet, open_images
from clicv2lite.extras import extra
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.recipes.library import get_recipe
from clicv2lite.recipes.recipe import Recipe

BATCH = 32


def comparisons() -> list[Comparison]:
    """Files, then tars, each with one and with two workers."""
    crops = f"random crops of {100 * CROP_MIN:.0f} to 100 % of the area to {SIZE} px"
    same = f"one pass over {stored().what}, {crops}, uint8, batches of {BATCH}"
    ours = "threads; simplejpeg decodes the whole JPEG, the resize reads pixels channel by channel side by side; any order"
    theirs = "processes that stay between the passes; torchvision decodes the whole JPEG, v2.RandomResizedCrop"
    orders = {"torchvision": f"{theirs}; any order", "webdataset": f"{theirs}; order of the tars"}
    return [
        Comparison(
            f"{name}, {n} worker{'s' * (n > 1)}", peer, same, ours, orders[peer], partial(way, n), counted=False
        )
        for name, peer, way in (("files to batches", "torchvision", files), ("tars to batches", "webdataset", tars))
        for n in (1, 2)
    ]  # fmt: skip


def recipe_of(images: ImageSet, workers: int) -> Recipe:
    """One pass over the images."""
    settings = (f"batch={BATCH}", f"passes={len(images)}", "store=0", "crop=resized", f"size={SIZE}", f"crop_min={CROP_MIN}")
    return get_recipe("lite", [*settings, f"workers={workers}"])


def own_pass(images: ImageSet, workers: int) -> list[torch.Size]:
    """Our feed over all images once; they were listed before, as a peer's are."""
    with Feed(images, recipe_of(images, workers), progress=False) as feed:
        return drain(batch.images for batch in feed)


def drain(batches: Iterable[torch.Tensor]) -> list[torch.Size]:
    """Read every batch; their shapes."""
    return [batch.shape for batch in batches]


class Cropped:
    """The bytes of a JPEG -> a crop (3, SIZE, SIZE) uint8, by torchvision's decoder and transforms."""

    def __init__(self) -> None:
        with extra("train"):
            from torchvision.transforms import v2

        self.crop = v2.RandomResizedCrop(SIZE, scale=(CROP_MIN, 1.0), antialias=True)

    def __call__(self, data: bytes) -> torch.Tensor:
        crop: torch.Tensor = self.crop(decoded(data))
        return crop


def decoded(data: bytes) -> torch.Tensor:
    """The whole image (3, H, W) uint8, by torchvision."""
    with extra("train"):
        from torchvision.io import ImageReadMode, decode_jpeg

    image: torch.Tensor = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    return image


class Files(torch.utils.data.Dataset[torch.Tensor]):
    """The plain way: a list of paths, each read, decoded and cropped by a worker."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.crop = sorted(folder.glob("*.jpg")), Cropped()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.crop(self.paths[i].read_bytes())


def files(workers: int) -> Sides:
    """A folder, in a random order."""
    folder = stored().folder
    loader = torch.utils.data.DataLoader(
        Files(folder), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=True
    )
    return partial(own_pass, open_images([str(folder)]), workers), lambda: drain(loader)


def tars(workers: int) -> Sides:
    """Shards, at least one for each worker."""
    import webdataset as wds

    names = stored().tars
    dataset = wds.WebDataset(names, shardshuffle=False).to_tuple("jpg").map_tuple(Cropped())
    batched = dataset.batched(BATCH, collation_fn=stacked, partial=False)
    loader = wds.WebLoader(batched, batch_size=None, num_workers=workers, persistent_workers=True)
    return partial(own_pass, open_images(names), workers), lambda: drain(loader)


def stacked(samples: list[tuple[torch.Tensor]]) -> torch.Tensor:
    """Samples of one field -> a batch."""
    return torch.stack([crop for (crop,) in samples])
