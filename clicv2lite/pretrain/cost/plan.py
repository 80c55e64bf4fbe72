"""The cost of a run on this machine and on others, and whether it fits: `clicv2lite pretrain --dry-run` (chapter 10)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from clicv2lite.errors import UserError
from clicv2lite.method.backbone import VIT, may_checkpoint
from clicv2lite.pretrain.cost.budget import Flops, hours, image_flops, largest_micro_batch, memory, micro_batch, parameters
from clicv2lite.pretrain.cost.hardware import MACHINES, Machine, this_machine
from clicv2lite.recipes.recipe import Recipe

UTILISATION = 0.4  # share of a GPU's peak, an assumption: replace it by the mfu of your own run
MEASURED = 0.6  # share of the speed of matrix products measured here (lower than in a data sheet); also an assumption
SHARE = 0.9  # share of the memory; the rest is for the driver, gaps of the allocator and temporary memory


@dataclass(frozen=True)
class Outlook:
    """What a run needs on one machine."""

    name: str
    machine: Machine
    utilisation: float  # assumed
    micro: int  # images per forward pass: the recipe's setting, or the GPU's whole part of the batch
    memory: dict[str, int]  # bytes on each GPU by part, with that micro-batch
    largest: int  # largest micro-batch that fits; 0 if none fits
    largest_checkpointing: int  # the same with checkpointing
    images_per_second: float
    hours: float

    @property
    def needed(self) -> int:
        """Bytes needed on each GPU."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether the micro-batch fits into the memory."""
        return self.micro <= self.largest


@dataclass(frozen=True)
class Plan:
    """Weights and operations of a recipe by part, and its run on several machines. The first is the one for the run."""

    recipe: Recipe
    parameters: dict[str, int]
    flops: dict[str, Flops]  # per image
    outlooks: list[Outlook]


def plan(
    recipe: Recipe, device: torch.device, ranks: int = 1, asked: Machine | None = None, others: Mapping[str, Machine] = MACHINES
) -> Plan:
    """Compute the cost of a run without starting it. The speed of this device is measured; this mostly takes under a second.

    Args:
        recipe: the complete configuration.
        device: the device of this machine. ranks: number of training processes, each on such a device.
        asked: the machine for the run; None for this machine.
        others: name -> machine, for comparison.

    Returns:
        the plan; its first outlook is for the machine of the run.
    """
    outlooks = [] if asked is None else [_outlook(recipe, f"{asked.gpus} x {asked.gpu.name}", asked, UTILISATION)]
    here = this_machine(device, ranks)
    outlooks.append(_outlook(recipe, f"here: {ranks} x ({here.gpu.name})", here, MEASURED))
    outlooks += [_outlook(recipe, name, machine, UTILISATION) for name, machine in others.items() if machine != asked]
    return Plan(recipe, parameters(recipe), image_flops(recipe), outlooks)


def refusal(plan: Plan) -> str | None:
    """Why the run does not fit its machine, and what would fit; None if it fits."""
    o, recipe = plan.outlooks[0], plan.recipe
    if recipe.batch % o.machine.gpus:
        return f"--set batch={recipe.batch}: {o.machine.gpus} GPUs cannot share it equally; take a multiple of {o.machine.gpus}"
    if o.fits:
        return None
    held = _gb(o.machine.gpu.memory)
    here = f"{recipe.name} in micro-batches of {o.micro} needs {_gb(o.needed)} of memory on each of {o.name}, with {held}"
    offers = [f"micro={o.largest}"] if o.largest else []
    if not recipe.checkpointing and o.largest_checkpointing > o.largest:
        offers.append(f"micro={o.largest_checkpointing} checkpointing=true")
    if not offers:
        return f"{here}; not even a micro-batch of 1 fits: take larger GPUs, or more of them"
    return f"{here}; --set {' or --set '.join(offers)} fits"


def lines(plan: Plan) -> list[str]:
    """The plan as lines of text."""
    recipe, first = plan.recipe, plan.outlooks[0]
    images, epochs = recipe.passes, recipe.passes / 1_500_000
    shape = f"{recipe.size} px in patches of {recipe.patch}, width {recipe.width}, depth {recipe.depth}"
    shape = shape if recipe.backbone == VIT else f"{recipe.size} px, {recipe.backbone}"
    out = [
        f"{recipe.name}: {recipe.method}, {shape}",
        f"  {recipe.steps:,} steps of {recipe.batch:,} images, {images:,} in all ({epochs:.3g} times the 1.5 million of IC1M)",
        "",
        f"{'part':16s}{'weights':>14s}{'GFLOP an image, forward':>26s}{'backward':>12s}",
    ]
    for part in [*plan.parameters, "InfoNCE"]:
        flops = plan.flops.get(part)
        costs = f"{flops.forward / 1e9:26.4g}{flops.backward / 1e9:12.4g}" if flops else ""
        out.append(f"{part:16s}{plan.parameters.get(part, 0):14,d}{costs}")
    forward, backward = (sum(parts) for parts in zip(*plan.flops.values(), strict=True))
    out.append(f"{'sum':16s}{sum(plan.parameters.values()):14,d}{forward / 1e9:26.4g}{backward / 1e9:12.4g}")
    kind = "checkpointing" if recipe.checkpointing else "no checkpointing"
    out += ["", f"memory on each of {first.name}, micro-batches of {first.micro} images, {kind}"]
    out += [f"  {part:16s}{_gb(size):>12s}" for part, size in first.memory.items()]
    out += [f"  {'sum':16s}{_gb(first.needed):>12s} of {_gb(first.machine.gpu.memory)}", ""]
    out.append(f"{'machine':40s}{'TFLOP/s':>9s}{'img/s':>13s}{'hours':>11s}   largest micro-batch (with checkpointing)")
    for o in plan.outlooks:
        speed = (o.machine.gpu.fp32 if recipe.precision == "fp32" else o.machine.gpu.bf16) * o.machine.gpus / 1e12
        fits = f"{o.largest} ({o.largest_checkpointing})" + ("" if o.fits else f", not {o.micro}")
        out.append(f"{o.name[:39]:40s}{speed:9,.4g} {_number(o.images_per_second):>12s} {_number(o.hours):>10s}   {fits}")
    out.append(
        f"img/s and hours: matrix products at {MEASURED:.0%} of the speed measured here, elsewhere at {UTILISATION:.0%} of the"
        " data sheet; reading images must keep up"
    )
    return out


def dry_run(recipe: Recipe, device: torch.device, ranks: int = 1, asked: Machine | None = None) -> None:
    """Print the plan.

    Raises:
        UserError: after printing, if the run does not fit its machine.
    """
    found = plan(recipe, device, ranks, asked)
    print("\n".join(lines(found)))
    reason = refusal(found)
    if reason:
        raise UserError(reason)


def _outlook(recipe: Recipe, name: str, machine: Machine, utilisation: float) -> Outlook:
    micro = micro_batch(recipe, machine.gpus)
    took = hours(recipe, machine, utilisation, recipe.checkpointing)
    checkpoints = recipe.backbone == VIT or may_checkpoint(recipe.backbone)
    return Outlook(
        name,
        machine,
        utilisation,
        micro,
        memory(recipe, machine.gpus, micro, recipe.checkpointing),
        largest_micro_batch(recipe, machine, recipe.checkpointing, SHARE),
        largest_micro_batch(recipe, machine, True, SHARE) if checkpoints else 0,
        recipe.steps * recipe.batch / (took * 3600),
        took,
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
