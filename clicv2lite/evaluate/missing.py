"""What a suite lacks, as shell commands to start it with: runs, and probes on ImageNet (book chapter 15)."""

import shlex
from pathlib import Path

from clicv2lite.evaluate.known import Kept
from clicv2lite.evaluate.sizes import SuiteSize
from clicv2lite.evaluate.suites import Suite, SuiteRow


def missing_keys(rows: list[SuiteRow], size: SuiteSize, kept: Kept, seeds: tuple[int, ...]) -> set[str]:
    """Keys of the runs that are not there."""
    trained = [row for row in rows if row.trained and not row.baseline]
    recipes = [size.recipe(row, seed) for row in trained for seed in seeds]
    return {kept.folder(recipe).name for recipe in recipes if not kept.has(recipe)}


def missing_commands(rows: list[SuiteRow], size: SuiteSize, kept: Kept, seeds: tuple[int, ...]) -> list[str]:
    """Shell commands, one a missing run: under torchrun at the full size."""
    program = "torchrun --standalone --nproc-per-node=gpu -m clicv2lite" if size.name == "full" else "clicv2lite"
    lines: dict[Path, str] = {}  # folder -> command: rows may share a run
    for row in rows:
        for seed in seeds if row.trained and not row.baseline else ():
            recipe = size.recipe(row, seed)
            if not kept.has(recipe):
                name, settings = size.settings(row, seed)
                images, folder = shlex.join(kept.images), kept.folder(recipe)
                lines[folder] = (
                    f"{program} pretrain --recipe {name} --images {images} --out {shlex.quote(str(folder))} --resume"
                    f" --set {shlex.join(settings)}  # {row.label}"
                )
    return list(lines.values())


def missing_probes(suite: Suite, rows: list[SuiteRow], size: SuiteSize, kept: Kept, seeds: tuple[int, ...]) -> list[str]:
    """Shell commands, one a run whose top-1 accuracy on ImageNet a suite compares and nobody has measured."""
    lines = []
    for row in rows if "classes" in suite.measures else ():
        for seed in seeds if row.trained else ():
            recipe = size.recipe(row, seed)
            if kept.lacks_top1(recipe):
                where = shlex.quote(str(kept.folder(recipe)))
                lines.append(
                    f"torchrun --standalone --nproc-per-node=gpu -m clicv2lite probe --encoder {where} --imagenet DIR"
                    f" --out {where} --seed {seed}  # {row.label}"
                )
    return lines
