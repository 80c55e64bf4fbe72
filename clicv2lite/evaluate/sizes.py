"""How large a suite is: `ci` is seconds and proves the path, `lite` hours on two cores, `full` the paper's (chapter 15)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clicv2lite.data.rated.table import Ratings, write_ratings
from clicv2lite.errors import UserError
from clicv2lite.evaluate.suites import SuiteRow
from clicv2lite.recipes.library import get_recipe
from clicv2lite.recipes.recipe import Recipe

CI_RATED, CI_SIDE = 40, 32  # generated images that stand for rated ones: their number, and their side in pixels

LIKENESS = ("pool_read=likeness", "pool_halvings=1", "pool_size=448", "pool_statistics=mean,std")
"""Token self-similarity as the model in the package was first read (book chapter 14); the blocks are those of the recipe."""


@dataclass(frozen=True)
class SuiteSize:
    """What a size means: the network that stands for each of the paper's, seeds, heads, and the number that is compared."""

    name: str
    shapes: Mapping[str, tuple[str, tuple[str, ...]]]  # S, B, L, L*, ResNet50, Swin-B, figure -> a recipe and its settings
    seeds: tuple[int, ...]
    heads: tuple[str, ...]
    folds: int  # of cross-validation, where the table has no split
    channels: int  # of ICNet's head; 512 are the paper's
    metric: str  # mean_pcc: over categories (Savoias is normalised within each); pcc: over all images, as on IC9600
    likeness: tuple[str, ...] = LIKENESS  # how the head `likeness` reads an encoder

    def settings(self, row: SuiteRow, seed: int) -> tuple[str, list[str]]:
        """The recipe of a row's run and what is set in it, as on the command line."""
        name, shape = self.shapes[row.shape]
        plain = get_recipe(name, [*shape, *row.settings])
        share = [f"passes={round(plain.passes * row.share)}"] if row.share != 1 else []
        coarser = [f"patch={plain.patch * row.coarser}"] if row.coarser != 1 else []
        return name, [*shape, *share, *coarser, *row.settings, f"seed={seed}"]

    def recipe(self, row: SuiteRow, seed: int) -> Recipe:
        """The complete configuration of a row's run."""
        return get_recipe(*self.settings(row, seed))


CI, LITE = ("passes=96", "batch=8"), ("passes=65536", "precision=bf16")
SIZES: dict[str, SuiteSize] = {
    "ci": SuiteSize(
        "ci",
        {"S": ("ci", (*CI, "width=16")), "B": ("ci", CI), "L": ("ci", (*CI, "width=48")),
         "L*": ("ci", (*CI, "width=48", "tile=0.5")), "figure": ("ci", CI),
         "ResNet50": ("ci", (*CI, "size=64", "backbone=resnet-lite")),
         "Swin-B": ("ci", (*CI, "size=64", "backbone=swin-lite"))},
        (0, 1), ("ridge",), 2, 8, "mean_pcc", (*LIKENESS[:2], "pool_size=64", LIKENESS[3]),
    ),
    # a seventh of the width of ViT-S, B and L; figures 5 and 7 take B, which other suites train anyway
    "lite": SuiteSize(
        "lite",
        {"S": ("lite", (*LITE, "width=96")), "B": ("lite", LITE), "L": ("lite", (*LITE, "width=288")),
         "L*": ("lite", (*LITE, "width=288", "tile=0.5")), "figure": ("lite", LITE),
         "ResNet50": ("lite", (*LITE, "backbone=resnet-lite")), "Swin-B": ("lite", (*LITE, "backbone=swin-lite"))},
        (0, 1, 2, 3, 4), ("ridge", "likeness"), 5, 64, "mean_pcc",
    ),
    "full": SuiteSize(
        "full",
        {"S": ("vit-s32", ()), "B": ("vit-b32", ()), "L": ("vit-l16", ()), "L*": ("vit-l16-star", ()),
         "figure": ("vit-l16", ()), "ResNet50": ("vit-b32", ("backbone=resnet50",)),
         "Swin-B": ("vit-b32", ("backbone=swin-b",))},
        (0, 1, 2), ("icnet", "ridge", "likeness"), 5, 512, "pcc",
    ),
}  # fmt: skip
"""Name -> size."""


@dataclass(frozen=True)
class Data:
    """What the encoders are pretrained on, and whose ratings they are measured by."""

    images: tuple[str, ...]
    ratings: Path
    test: Path | None = None


def find_data(size: str, images: list[str] | None, ratings: Path | None, test: Path | None, out: Path) -> Data:
    """The data of a suite: what the user named, else what the size takes by default.

    Args:
        size: `ci` draws worlds and, into `out`, worlds whose complexity stands for a rating; `lite` looks into
            $CLICV2LITE_DATA for photos/ and savoias/; `full` has no default.

    Raises:
        UserError: where there is neither.
    """
    if test is not None and ratings is None:
        raise UserError(f"--test {test}: give the table to fit on, too, with --ratings")
    if size == "ci":
        return Data(tuple(images or ["worlds:40"]), ratings or _worlds(out / "ci"), test)
    if missing := missing_data(size, images, ratings):
        raise UserError(missing[0])
    root = os.environ.get("CLICV2LITE_DATA")
    folder = Path(root or "")
    tars = sorted(str(path) for path in (folder / "photos").glob("*.tar"))
    found = Data(tuple(images or tars), ratings or folder / "savoias" / "ratings.csv", test)
    if not found.images:
        raise UserError(f"{folder / 'photos'}: no tars of images to pretrain on; name some with --images")
    if not found.ratings.is_file():
        raise UserError(
            f"{found.ratings}: no rating table; make one with `clicv2lite data savoias`, or name one with --ratings"
        )
    return found


def missing_data(size: str, images: list[str] | None, ratings: Path | None) -> list[str]:
    """The options that a size needs, one line each, where nothing stands in for what the user has not named."""
    if size == "ci" or (size != "full" and os.environ.get("CLICV2LITE_DATA")):
        return []
    why = "" if size == "full" else ", or set CLICV2LITE_DATA to a folder with photos/ and savoias/"
    given = (("--images", images), ("--ratings", ratings))
    return [f"{option}: --size {size} needs it{why}" for option, value in given if not value]


def _worlds(folder: Path) -> Path:
    """Draw rated worlds into a folder, unless they are there; the path of their table."""
    from clicv2lite.data.worlds import sample

    table = folder / "ratings.csv"
    if not table.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        images, complexity, categories = sample(CI_RATED, seed=1, size=CI_SIDE)
        paths = [folder / f"{i:02d}.png" for i in range(CI_RATED)]
        for image, path in zip(images, paths, strict=True):
            Image.fromarray(image).save(path)
        write_ratings(Ratings(paths, np.asarray(complexity), categories, None), table)
    return table
