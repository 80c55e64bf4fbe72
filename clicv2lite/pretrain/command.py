"""`clicv2lite pretrain`: from unlabelled images to an encoder."""

import argparse
from pathlib import Path

from clicv2lite.errors import UserError
from clicv2lite.pretrain.recipes import RECIPES, get_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the contract."""
    parser.add_argument("--recipe", required=True, metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument(
        "--images", required=True, nargs="+", metavar="SRC",
        help="folder, tar, brace pattern of tars, `embedded`, or `worlds:N` generated images",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the run")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value", help="change the recipe")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default: a GPU when there is one")


def run(args: argparse.Namespace) -> int:
    """Pretrain; exit status 0, also when SIGTERM stopped the run after a save."""
    recipe = get_recipe(args.recipe, args.set)
    from clicv2lite.pretrain.engine import pretrain

    try:
        finished = pretrain(recipe, args.images, args.out, args.resume, args.device)
    except OSError as error:  # reading an image raises no such error: what failed is a file of the run
        raise UserError(f"--out {args.out}: {error.strerror or error}; make room there and go on with --resume") from None
    if finished:
        print(args.out / "encoder.safetensors")
    else:
        print(f"stopped and saved; go on with: clicv2lite pretrain ... --out {args.out} --resume")
    return 0
