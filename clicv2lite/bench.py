"""`clicv2lite bench`: what the vectorised parts cost on this machine, as ratios measured in one run (book chapter 7)."""

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from clicv2lite.atomic import check_output_file, write_json
from clicv2lite.entropy import default_bins, luma, patch_entropy
from clicv2lite.infonce import infonce, infonce_dense
from clicv2lite.patches import offsets, shift
from clicv2lite.provenance import provenance

PATCHES, SIDE = 8192, 16  # about the patches of a batch of 128 images at 128 px
MIN_SECONDS = 1.0  # a measurement repeats its operation for at least this long
QUERIES = (64, 26, 128)  # images, visible patches, width of the features in the lite recipe


@dataclass(frozen=True)
class Timing:
    """One operation beside its references; a ratio above 1 means that the reference is slower."""

    name: str
    seconds: float  # median, of the package's own form
    references: dict[str, float]  # name -> median seconds
    ratios: dict[str, float]  # name -> reference seconds / own seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the contract."""
    parser.add_argument("--json", type=Path, metavar="F", help="write the result to this file")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write JSON."""
    if args.json:
        check_output_file(args.json, "--json")
    timings = [bench_shift(), bench_entropy(), bench_infonce()]
    for t in timings:
        print(f"{t.name}: {t.seconds * 1e3:.2f} ms")
        for name, ratio in t.ratios.items():
            print(f"  {name}: {t.references[name] * 1e3:.2f} ms, {ratio:.2f} x")
    if args.json:
        write_json(args.json, {"timings": [asdict(t) for t in timings], "threads": torch.get_num_threads(), **provenance()})
    return 0


def compare(name: str, own: Callable[[], object], **references: Callable[[], object]) -> Timing:
    """Median times of an operation and its references, in turn, on the same inputs."""
    seconds, others = median(own), {key: median(other) for key, other in references.items()}
    return Timing(name, seconds, others, {key: value / seconds for key, value in others.items()})


def median(operation: Callable[[], object]) -> float:
    """Median seconds of one call, over at least MIN_SECONDS of calls, with all threads."""
    timer = Timer("operation()", globals={"operation": operation}, num_threads=torch.get_num_threads())
    return float(timer.blocked_autorange(min_run_time=MIN_SECONDS).median)


def bench_shift() -> Timing:
    """Shift against a loop over patches and against copying the patches once."""
    patches, offset = torch.rand(PATCHES, 3, SIDE, SIDE), random_offsets()
    return compare(
        f"shift of {PATCHES} patches",
        lambda: shift(patches, offset),
        per_patch_loop=lambda: shift_loop(patches, offset),
        memory_copy=patches.clone,
    )


def bench_entropy() -> Timing:
    """Patch entropy against a loop over patches and against copying the patches once."""
    patches = torch.rand(PATCHES, 3, SIDE, SIDE)
    return compare(
        f"entropy of {PATCHES} patches",
        lambda: patch_entropy(patches),
        per_patch_loop=lambda: entropy_loop(patches),
        memory_copy=patches.clone,
    )


def bench_infonce() -> Timing:
    """Loss and gradient of the tiled form against the dense one."""
    b, v, d = QUERIES
    q, k = (torch.nn.functional.normalize(torch.randn(b, v, d), dim=-1) for _ in range(2))
    visible = torch.arange(v).expand(b, v)

    def both(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        leaf = q.clone().requires_grad_()
        loss(leaf, k, visible).backward()

    return compare(f"InfoNCE of {b * v} patches", lambda: both(infonce), dense=lambda: both(infonce_dense))


def random_offsets() -> Tensor:
    """One offset (dy, dx) for each patch of the benchmark: (PATCHES, 2)."""
    return offsets(torch.randint(8, (PATCHES,)), torch.randint(1, SIDE // 4 + 1, (PATCHES,)))


def shift_loop(patches: Tensor, offset: Tensor) -> Tensor:
    """The shift as one would write it first: slices, a patch at a time."""
    out = torch.zeros_like(patches)
    p = patches.shape[-1]
    for source, target, (dy, dx) in zip(patches, out, offset.tolist(), strict=True):
        rows, columns = (slice(max(0, d), p + min(0, d)) for d in (dy, dx))
        from_rows, from_columns = (slice(max(0, -d), p + min(0, -d)) for d in (dy, dx))
        target[:, rows, columns] = source[:, from_rows, from_columns]
    return out


def entropy_loop(patches: Tensor) -> Tensor:
    """The entropy as one would write it first: one histogram at a time."""
    bins = default_bins(patches.shape[-1])
    out = []
    for patch in patches:
        p = torch.histc(luma(patch), bins, 0, 1) / patch[0].numel()
        out.append(torch.special.entr(p).sum() / math.log(2))
    return torch.stack(out)
