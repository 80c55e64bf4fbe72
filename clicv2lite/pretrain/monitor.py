"""Measurements while a model trains: the rows of a log, TensorBoard, a probe from time to time (book, running pretraining)."""

import copy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.extras import extra, need
from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import Output
from clicv2lite.pretrain.cost.budget import image_flops
from clicv2lite.pretrain.cost.hardware import peak
from clicv2lite.pretrain.diagnostics import diagnostics
from clicv2lite.pretrain.folder import TENSORBOARD
from clicv2lite.pretrain.log import Log
from clicv2lite.pretrain.optim import learning_rate
from clicv2lite.recipes.recipe import Recipe

TIMING = ("images_per_second", "seconds", "data_wait", "mfu", "memory_bytes")
"""Keys of a row whose values differ when a run is repeated."""
FOLDS, PROBE_BATCH = 5, 64


@dataclass(frozen=True)
class Watch:
    """What is measured during a run in addition to its log.

    Attributes:
        tensorboard: write the same numbers for TensorBoard.
        ratings: a rating table. A ridge probe measures the encoder on it from time to time and writes to probes.jsonl.
        probe_every: steps between these probes, 0 for no probes. There is always one after the last step.
    """

    tensorboard: bool = False
    ratings: Path | None = None
    probe_every: int = 0

    def check(self) -> None:
        """Raise UserError for a table without an interval, or the other way round."""
        if (self.ratings is None) != (self.probe_every == 0) or self.probe_every < 0:
            raise UserError(f"--probe-every {self.probe_every}: give it above 0 and together with --probe-ratings TABLE.csv")

    def need_packages(self) -> None:
        """Refuse what a package is missing for, before the folder of the run is made.

        Raises:
            MissingPackage: for TensorBoard, or for what a probe needs.
        """
        if self.tensorboard:
            need("tensorboard", "tensorboard", who="--tensorboard")
        if self.ratings:
            need("probe", "scipy", "sklearn", who="--probe-ratings")


class Monitor:
    """Writes what the first rank reports about a run: metrics.jsonl and, if wanted, tensorboard/ and probes.jsonl.

    On resume, rows after the checkpoint are removed, because the run writes them again.

    Args:
        out: folder of the run.
        device, ranks: what the run uses; this gives the share of the peak speed.
        step: number of steps already done.
        watch: what else is measured. The images of its rating table are read now and kept in memory.

    Attributes:
        seconds: time that earlier parts of the run took, up to the last row that was kept.

    Raises:
        UserError: if TensorBoard is not installed, or the ratings cannot be used.
    """

    def __init__(
        self, out: Path, recipe: Recipe, device: torch.device, ranks: int = 1, step: int = 0, watch: Watch | None = None
    ) -> None:
        watch = watch or Watch()
        self.recipe, self.device, self.probe_every = recipe, device, watch.probe_every
        self.auxiliary = METHODS[recipe.method].auxiliary(recipe.views)
        self.rated = RatedSquares(watch.ratings, recipe) if watch.ratings else None
        self.board = _board(out / TENSORBOARD, step) if watch.tensorboard else None
        self.log = Log(out / "metrics.jsonl", step)
        self.probes = Log(out / "probes.jsonl", step) if watch.ratings else None
        self.seconds = self.log.seconds
        each = sum(part.forward + part.backward for part in image_flops(recipe).values())
        best = peak(device, recipe.precision)
        self.share_of_peak = each / (ranks * best) if best else None  # of one image per second

    def record(self, step: int, output: Output, norm: float, rate: float, wait: float, seconds: float) -> dict[str, Any]:
        """Write the row of a step, and return it.

        Args:
            step: counted from 0.
            output: losses and features of the batch, or of this rank's part of it.
            norm: norm of the gradient before clipping. rate: images per second on all ranks.
            wait: share of the time spent waiting for images. seconds: time since the run began, with earlier parts.
        """
        row = {
            "step": step + 1,
            "passes": (step + 1) * self.recipe.batch,
            "total": output.total.item(),
            **{name: value.item() for name, value in self.losses(output).items()},
            "lr": learning_rate(step, self.recipe),
            "gradient_norm": norm,
            **diagnostics(output.queries, output.keys),
            "images_per_second": round(rate, 1),
            "seconds": round(seconds, 1),
            "data_wait": round(wait, 4),
            "mfu": None if self.share_of_peak is None else round(rate * self.share_of_peak, 4),
            "memory_bytes": memory_bytes(self.device),
        }
        self.log.write(row)
        self._show(row)
        return row

    def losses(self, output: Output) -> dict[str, Tensor]:
        """Name in the log -> part of the loss. The second part is named after what is predicted."""
        parts = {"contrast": output.contrast}
        return parts | {self.auxiliary: output.auxiliary} if self.auxiliary else parts

    def probe_due(self, step: int) -> bool:
        """Whether to probe the encoder after this step (counted from 0)."""
        return self.probe_every > 0 and ((step + 1) % self.probe_every == 0 or step + 1 == self.recipe.steps)

    def probe(self, step: int, model: Any) -> float | None:
        """Probe the query encoder of ``model`` after a step, and write a row. The training is not affected.

        Returns:
            mean PCC over categories of a cross-validated ridge probe; None if no PCC is defined.
        """
        if self.rated is None or self.probes is None:
            raise ValueError("this monitor has no ratings to probe on")
        # probe a copy: freezing the encoder itself would stop its training
        encoder = FrozenEncoder("training", copy.deepcopy(model.query), FrozenConfig(self.recipe.encoder, self.recipe.pool))
        found = self.rated.probe(encoder, self.device)
        row = {"step": step + 1, "passes": (step + 1) * self.recipe.batch, "probe_mean_pcc": found, "n": len(self.rated.images)}
        self.probes.write(row)
        self._show({"step": step + 1, "probe_mean_pcc": found})
        return found

    def close(self) -> None:
        """Close the files."""
        for log in (self.log, self.probes):
            if log:
                log.file.close()
        if self.board:
            self.board.close()

    def _show(self, row: dict[str, Any]) -> None:
        if self.board:
            for key, value in row.items():
                if value is not None and key != "step":
                    self.board.add_scalar(key, value, row["step"])
            self.board.flush()


class RatedSquares:
    """The images of a rating table as squares, to probe encoders on."""

    def __init__(self, ratings: Path, recipe: Recipe) -> None:
        from clicv2lite.data.batches import read_squares  # imported here: a run without probes does not need scikit-learn
        from clicv2lite.probe.crossval import folds
        from clicv2lite.probe.task import keep_rows, load_task

        task = load_task(str(ratings), None, FOLDS, None)
        self.images, read, _ = read_squares(task.paths, recipe.pool.size or recipe.size)  # (n, 3, S, S) uint8
        self.task = keep_rows(task, read)
        self.tests = folds(len(self.images), FOLDS, self.task.categories, seed=0)

    def probe(self, encoder: FrozenEncoder, device: torch.device) -> float | None:
        """Mean PCC of :func:`clicv2lite.heads.ridge.fit_ridge`. No image is predicted by a head that was fitted on it."""
        from clicv2lite.heads.ridge import fit_ridge
        from clicv2lite.probe.crossval import cross_validate
        from clicv2lite.probe.metrics import report

        features = torch.cat([encoder.features(part.to(device)).cpu() for part in self.images.split(PROBE_BATCH)])
        predictions = cross_validate(fit_ridge, features, self.task.scores, self.tests)
        found: float | None = report(self.task.scores, predictions, self.task.categories, resamples=0)["mean_pcc"]
        return found


def memory_bytes(device: torch.device) -> int:
    """Largest memory use so far: memory allocated on a GPU, or the resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    try:
        import resource
    except ImportError:  # Windows
        with extra("train"):
            import psutil
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _board(folder: Path, step: int) -> Any:
    with extra("tensorboard", "--tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
