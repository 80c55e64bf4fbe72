"""What a suite lacks, as shell commands to start it with: runs, and probes on ImageNet (book chapter 15)."""

import shlex
from pathlib import Path

from clicv2lite.evaluate.keys import is_finished, run_folder, run_key
from clicv2lite.evaluate.sizes import Data, SuiteSize
from clicv2lite.evaluate.suites import Suite, SuiteRow
from clicv2lite.probe.imagenet import RESULT as TOP1


def missing_keys(rows: list[SuiteRow], size: SuiteSize, data: Data, out: Path, seeds: tuple[int, ...]) -> set[str]:
    """Keys of the runs that are not there."""
    trained = [row for row in rows if row.trained and not (row.missing or row.baseline)]
    keys = {run_key(size.recipe(row, seed), data.images) for row in trained for seed in seeds}
    return {key for key in keys if not is_finished(out / "runs" / key)}


def missing_commands(rows: list[SuiteRow], size: SuiteSize, data: Data, out: Path, seeds: tuple[int, ...]) -> list[str]:
    """Shell commands, one a missing run: under torchrun at the full size."""
    program = "torchrun --standalone --nproc-per-node=gpu -m clicv2lite" if size.name == "full" else "clicv2lite"
    lines = []
    for row in rows:
        for seed in seeds if row.trained and not (row.missing or row.baseline) else ():
            folder = run_folder(out / "runs", size.recipe(row, seed), data.images)
            if not is_finished(folder):
                name, settings = size.settings(row, seed)
                images = shlex.join(data.images)
                lines.append(
                    f"{program} pretrain --recipe {name} --images {images} --out {shlex.quote(str(folder))} --resume"
                    f" --set {shlex.join(settings)}  # {row.label}"
                )
    return list({line.partition("  #")[0]: line for line in lines}.values())


def missing_probes(
    suite: Suite, rows: list[SuiteRow], size: SuiteSize, data: Data, out: Path, seeds: tuple[int, ...]
) -> list[str]:
    """Shell commands, one a run whose top-1 accuracy on ImageNet a suite compares and nobody has measured."""
    lines = []
    for row in rows if "classes" in suite.measures else ():
        for seed in seeds if row.trained else ():
            folder = run_folder(out / "runs", size.recipe(row, seed), data.images)
            if not (folder / TOP1).is_file():
                where = shlex.quote(str(folder))
                lines.append(
                    f"torchrun --standalone --nproc-per-node=gpu -m clicv2lite probe --encoder {where} --imagenet DIR"
                    f" --out {where} --seed {seed}  # {row.label}"
                )
    return lines
