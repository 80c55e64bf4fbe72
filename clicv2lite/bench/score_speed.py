"""`clicv2lite bench-score`: how fast scoring is, as ratios measured in turn on one machine (book chapter 12).

Scoring means all of it: files are read, decoded, squared, encoded, scored. It is compared with the bare forward passes of the
same encoders in timm, at every size that the model reads an image at, and of their patch embeddings where it reads these alone,
on tensors in memory, with torch's own threads; and with ICNet's forward pass at its 512 pixels.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from clicv2lite.bench.apart import printed
from clicv2lite.data.embedded import photographs
from clicv2lite.device import add_device, choose_device
from clicv2lite.device import cores as default_jobs
from clicv2lite.errors import check_counts
from clicv2lite.files import put_json
from clicv2lite.method.pixels import normalize
from clicv2lite.models.model import MODELS, load_model
from clicv2lite.outputs import add_json
from clicv2lite.provenance import stamped
from clicv2lite.score.arguments import ImageRow, expand, find_images
from clicv2lite.score.scoring import score_rows

BATCH, ICNET_BATCH, ICNET_SIDE = 32, 8, 512
STARTS = 5  # of the program; the fastest counts, since other load can only add time


def measure(rows: Sequence[ImageRow], spec: str, rounds: int, jobs: int, device: str | torch.device = "auto") -> dict[str, Any]:
    """Images per second, medians over rounds in which the three take turns, and medians of the ratios within a round.

    Args:
        rows: images to score. spec: the model. rounds: how often each is measured. jobs: threads of the scorer.
        device: where all of them compute.
    """
    from clicv2lite.baselines.supervised.networks.icnet import ICNet  # not above: it brings torchvision

    model = load_model(spec, device)
    where = model.encoder.device
    squares = torch.randint(0, 256, (BATCH, 3, model.encoder.size, model.encoder.size), dtype=torch.uint8, device=where)
    parts = [part for part in model.encoder.parts if part.differentiable]
    inputs = [(part.vit.forward_features, normalize(image / 255)) for part in parts for image in part.halved(squares)]
    inputs += [(part.vit.patch_embed, normalize(image / 255)) for part in parts for image in part.zooms(squares)]
    icnet = ICNet().eval().to(where)
    large = torch.rand(ICNET_BATCH, 3, ICNET_SIDE, ICNET_SIDE, device=where)
    passes = max(1, min(len(rows), 320) // BATCH)

    def score() -> int:
        return sum(len(part) for part in score_rows(rows, model, BATCH, jobs=jobs))

    def bare() -> int:
        for _ in range(passes):
            for forward, each in inputs:
                forward(each)
        return passes * BATCH

    def other() -> int:
        icnet(large)
        return ICNET_BATCH

    found: dict[str, list[float]] = {"score": [], "timm_forward": [], "icnet_512": []}
    with torch.inference_mode():
        bare(), icnet(large)  # buffers, and the choice of kernels
        for _ in range(rounds):
            for name, operation in (("timm_forward", bare), ("score", score), ("icnet_512", other)):
                found[name].append(images_per_second(operation, where))
    pairs = {name: [s / o for s, o in zip(found["score"], found[name], strict=True)] for name in ("timm_forward", "icnet_512")}
    return {
        "images": len(rows),
        "batch": BATCH,
        "jobs": jobs,
        "images_per_second": {name: statistics.median(values) for name, values in found.items()},
        "ratio_to": {name: statistics.median(values) for name, values in pairs.items()},
        "rounds": {"images_per_second": found, "ratio_to": pairs},
    }


def images_per_second(operation: Callable[[], int], device: torch.device) -> float:
    """Images per second of an operation that returns how many images it did."""
    began = time.perf_counter()
    count = operation()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return count / (time.perf_counter() - began)


def startup() -> dict[str, float]:
    """Seconds from the call of the program to the end of its first score, and those of `import torch` alone.

    Bytecode is there, as after an installation by pip: a first start, which does not count, compiles it into its own folder.
    """
    photo = str(next(iter(photographs().values())))
    commands = {"score": ["-m", "clicv2lite", "score", photo], "import_torch": ["-c", "import torch"]}
    with tempfile.TemporaryDirectory() as folder:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPYCACHEPREFIX": folder}
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(1 + STARTS):
            for name, words in commands.items():
                began = time.perf_counter()
                printed(words, environment)
                seconds[name].append(time.perf_counter() - began)
    return {name: min(values[1:]) for name, values in seconds.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bench-score`."""
    parser.add_argument(
        "--images", nargs="+", action="extend", required=True, metavar="SRC", help="as `clicv2lite score` takes them"
    )
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="score at most N of them (default 1000)")
    parser.add_argument("--model", default="default", metavar="M", help=MODELS)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measure N times (default 3)")
    add_device(parser)
    add_json(parser)
    parser.epilog = __doc__.partition("\n\n")[2]


def run(args: argparse.Namespace) -> int:
    """Measure and write JSON; exit status 0, UserError for options or images that cannot be used."""
    device = choose_device(args.device)
    check_counts(count=args.count, rounds=args.rounds)
    rows, began = find_images(expand(args.images))[: args.count], time.perf_counter()
    first = startup()
    found = {"model": args.model, **measure(rows, args.model, args.rounds, default_jobs(), device)}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # what else the machine was doing; Windows does not tell
    found |= {"seconds_to_first_score": first, "load": load}
    put_json(args.json, stamped(found, began, device))
    return 0
