"""`clicv2lite pretrain`: from unlabelled images to an encoder."""

import argparse
from pathlib import Path

from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError
from clicv2lite.files import is_full, reason
from clicv2lite.outputs import add_output
from clicv2lite.recipes.library import RECIPES, get_recipe, is_recipe_file
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.torchrun import from_torchrun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `clicv2lite pretrain`."""
    parser.add_argument(
        "--recipe", required=True, metavar="NAME", help=f"one of {', '.join(RECIPES)}, or a .toml file that changes one"
    )
    parser.add_argument(
        "--images", nargs="+", action="extend", metavar="SRC",
        help="folder, tar, brace pattern of tars, `embedded`, or `worlds:N` generated images",
    )  # fmt: skip
    add_output(parser, "--out", folder=True, unless="dry_run", help="folder of the run")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value", help="change the recipe")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    add_device(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what the run needs, and whether it fits")
    parser.add_argument(
        "--on", metavar="MACHINE",
        help="with --dry-run: the machine for the run, such as '8 x A100' or '8 x 2250 TFLOP/s 192 GB' (dense bf16, memory)",
    )  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="also write the metrics to DIR/tensorboard")
    parser.add_argument("--probe-ratings", type=Path, metavar="CSV", help="probe the encoder on this rating table meanwhile")
    parser.add_argument("--probe-every", type=int, default=0, metavar="STEPS", help="steps between probes (DIR/probes.jsonl)")


def run(args: argparse.Namespace) -> int:
    """Pretrain. The exit status is 0, also when SIGTERM stopped the run (it saves first).

    Not 143, as of a process that a signal ended: torchrun would count a rank's 143 as a failure and start all ranks again, and
    a job script could not tell it from a crash. Whether the run is finished, encoder.safetensors and the last line say.
    """
    recipe = get_recipe(args.recipe, args.set)
    if args.dry_run:
        return _dry_run(recipe, args)
    if args.on:
        raise UserError(f"--on {args.on}: works only with --dry-run; a run always uses this machine")
    for option, value in (("--images", args.images), ("--out", args.out)):
        if not value:
            raise UserError(f"{option}: needed, except with --dry-run (see clicv2lite pretrain --help)")
    from clicv2lite.pretrain.engine import Pretraining, pretrain
    from clicv2lite.pretrain.monitor import Watch

    try:
        watch = Watch(args.tensorboard, args.probe_ratings, args.probe_every)
        file = Path(args.recipe) if is_recipe_file(args.recipe) else None
        finished = pretrain(Pretraining(recipe, args.images, args.out, args.resume, args.device, watch=watch, recipe_file=file))
    except OSError as error:  # reading an image raises another error, so this is about a file of the run
        if not is_full(error):
            raise
        raise UserError(f"--out {args.out}: {reason(error)}; make room there and go on with --resume") from None
    if from_torchrun("RANK") > 0:
        return 0
    if finished:
        print(args.out / "encoder.safetensors")
    else:
        print(f"stopped and saved; go on with: clicv2lite pretrain ... --out {args.out} --resume")
    return 0


def _dry_run(recipe: Recipe, args: argparse.Namespace) -> int:
    import torch

    from clicv2lite.pretrain.cost.hardware import machine
    from clicv2lite.pretrain.cost.plan import dry_run

    device = choose_device(args.device)
    ranks = torch.cuda.device_count() if device.type == "cuda" and device.index is None else 1
    dry_run(recipe, device, ranks, machine(args.on) if args.on else None)
    return 0
