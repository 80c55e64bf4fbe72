"""`clicv2lite data`: fetch or convert a data set of ratings."""

import argparse
from pathlib import Path

from clicv2lite.data import savoias
from clicv2lite.data.fetch import cache_dir, fetch_folders
from clicv2lite.data.ic9600 import SPLITS, ic9600_ratings
from clicv2lite.data.ratings import write_ratings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")

    part = datasets.add_parser("savoias", help="fetch Savoias (public) and write its rating table")
    part.add_argument("--out", type=Path, metavar="DIR", help="where to keep it (default: a cache folder; see below)")
    part.add_argument("--url", default=savoias.URL, help="the git repository (default: %(default)s)")
    part.epilog = (
        "Without --out it is kept in savoias/ in $CLICV2LITE_CACHE, or in the user's cache folder. An interrupted fetch"
        " goes on when the command is run again."
    )

    part = datasets.add_parser("ic9600", help="write the rating tables of a copy of IC9600, which its authors send")
    part.add_argument("root", type=Path, metavar="ROOT", help="the folder with images/, train.txt and test.txt")
    part.add_argument("--out", type=Path, metavar="DIR", help="where to write train.csv and test.csv (default: ROOT)")


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        UserError: if the data set cannot be fetched, read or written.
    """
    return {"savoias": _savoias, "ic9600": _ic9600}[args.dataset](args)


def _savoias(args: argparse.Namespace) -> int:
    target = args.out if args.out is not None else cache_dir() / "savoias"
    fetch_folders(args.url, savoias.FOLDERS, target)
    copy = savoias.read_savoias(target)
    write_ratings(copy.ratings, target / "ratings.csv")
    print(target / "ratings.csv")
    categories = len(set(copy.ratings.categories or ()))
    print(f"{len(copy.ratings)} rated images in {categories} categories")
    scores, images = f"{copy.no_image} scores without an image", f"{copy.no_score} images without a score"
    print(f"skipped: {scores}, {images}, {copy.neither} rows with neither")
    return 0


def _ic9600(args: argparse.Namespace) -> int:
    tables = {split: ic9600_ratings(args.root, split) for split in SPLITS}  # all read before any is written
    for split, ratings in tables.items():
        path = (args.out if args.out is not None else args.root) / f"{split}.csv"
        write_ratings(ratings, path)
        categories = f" in {len(set(ratings.categories))} categories" if ratings.categories else ""
        print(f"{path}\n{len(ratings)} rated images{categories}")
    return 0
