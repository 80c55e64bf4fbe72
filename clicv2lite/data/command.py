"""`clicv2lite data`: fetch or convert a data set of ratings; pack or download images to pretrain on."""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from clicv2lite.data.cache import cache_dir
from clicv2lite.data.ic1m import command as ic1m
from clicv2lite.data.packing.form import Form, add_form
from clicv2lite.data.rated import savoias
from clicv2lite.data.rated.fetch import fetch_folders
from clicv2lite.data.rated.ic9600 import SPLITS, ic9600_ratings
from clicv2lite.data.rated.table import write_ratings
from clicv2lite.errors import UserError, check_counts, check_seed
from clicv2lite.extras import need
from clicv2lite.outputs import add_output

if TYPE_CHECKING:
    from clicv2lite.data.packing.pack import Packed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")

    part = datasets.add_parser("savoias", help="fetch Savoias (public) and write its rating table")
    add_output(part, "--out", folder=True, locked=False, help="where to keep it (default: a cache folder; see below)")
    part.add_argument("--url", default=savoias.URL, help="the git repository (default: %(default)s)")
    part.add_argument("--commit", metavar="SHA", help="fetch this commit (default: the newest, which is printed)")
    part.add_argument("--accept-changes", action="store_true", help="take scores that differ from those of the stored results")
    part.epilog = (
        "Without --out it is kept in savoias/ in $CLICV2LITE_CACHE, or in the user's cache folder. An interrupted fetch"
        " goes on when the command is run again."
    )

    part = datasets.add_parser("ic9600", help="write the rating tables of a copy of IC9600, which its authors send")
    part.add_argument("root", type=Path, metavar="ROOT", help="the folder with images/, train.txt and test.txt")
    add_output(part, "--out", folder=True, help="where to write train.csv and test.csv (default: ROOT)")

    part = datasets.add_parser("pack", help="write any images as tars of small JPEGs, to pretrain on")
    part.add_argument(
        "--images",
        nargs="+",
        action="extend",
        required=True,
        metavar="SRC",
        help="folders, tars, brace patterns of tars, images",
    )
    add_output(part, "--out", folder=True, locked=False, required=True, help="where 000000.tar ... and manifest.csv go")
    add_form(part)
    text = "also mosaics of each image's crops, as CLIC has them: ten of each, or the three that its code leaves (default none)"
    part.add_argument("--mosaics", choices=["none", "published", "as-written"], default="none", help=text)
    part.add_argument("--seed", type=int, metavar="N", help="of the mosaics (default 0)")
    part.epilog = (
        "Aspect ratios stay and nothing is enlarged; a JPEG that is small enough is copied byte for byte. Images that cannot"
        " be used are listed in the manifest. An interrupted run goes on when the command is run again."
    )

    ic1m.add_arguments(datasets.add_parser("ic1m", help="draw, download and pack a set like the paper's IC1M"))


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit status is 0.

    Raises:
        UserError: if the data set cannot be fetched, read or written.
    """
    return {"savoias": _savoias, "ic9600": _ic9600, "pack": _pack, "ic1m": ic1m.run}[args.dataset](args)


def _savoias(args: argparse.Namespace) -> int:
    need("data", "openpyxl")  # its tables are .xlsx files
    target = args.out if args.out is not None else cache_dir() / "savoias"
    commit = fetch_folders(args.url, savoias.FOLDERS, target, args.commit)
    if not args.accept_changes:
        savoias.check_scores(target)
    copy = savoias.read_savoias(target)
    write_ratings(copy.ratings, target / "ratings.csv")
    print(target / "ratings.csv")
    categories = len(set(copy.ratings.categories or ()))
    print(f"{len(copy.ratings)} rated images in {categories} categories")
    scores, images = f"{copy.no_image} scores without an image", f"{copy.no_score} images without a score"
    print(f"skipped: {scores}, {images}, {copy.neither} rows with neither")
    if commit:
        print(f"commit: {commit}")
    return 0


def _ic9600(args: argparse.Namespace) -> int:
    tables = {split: ic9600_ratings(args.root, split) for split in SPLITS}  # all read before any is written
    for split, ratings in tables.items():
        path = (args.out if args.out is not None else args.root) / f"{split}.csv"
        write_ratings(ratings, path)
        categories = f" in {len(set(ratings.categories))} categories" if ratings.categories else ""
        print(f"{path}\n{len(ratings)} rated images{categories}")
    return 0


def _pack(args: argparse.Namespace) -> int:
    from clicv2lite.data.packing.pack import Opened, pack  # imports torch, which a fetch does not need
    from clicv2lite.data.sources import open_images
    from clicv2lite.device import cores

    form, began = Form(args.side, args.quality, args.shard), time.monotonic()
    if args.seed is not None and args.mosaics == "none":
        raise UserError(f"--seed {args.seed}: there are no mosaics without --mosaics; leave it out")
    seed = args.seed or 0
    check_seed(seed)
    check_counts(jobs=args.jobs)
    jobs = args.jobs or cores()
    images = Opened(open_images(args.images))
    if args.mosaics == "none":
        packed = pack(images, args.out, form, jobs)
    else:
        from clicv2lite.data.packing.mosaics import WithMosaics

        asked = {"mosaics": args.mosaics, "seed": seed}
        packed = pack(WithMosaics(images, **asked), args.out, form, jobs, asked)
    _say_packed(packed, time.monotonic() - began)
    return 0


def _say_packed(packed: "Packed", seconds: float) -> None:
    for reason in packed.failed:
        print(reason, file=sys.stderr)
    if packed.n_failed > len(packed.failed):
        print(f"... and {packed.n_failed - len(packed.failed):,} more, see the manifest", file=sys.stderr)
    print(packed.manifest)
    there, unusable = f"{packed.good:,} images in {packed.shards:,} tars", f"{packed.n_failed:,} could not be used"
    print(f"{there}, {packed.bytes / 1e6:,.1f} MB; {unusable}")
    if packed.made:
        print(f"{packed.made / seconds:,.0f} img/s")
    print(f"--images {shlex.quote(packed.pattern)}")
