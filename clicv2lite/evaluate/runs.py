"""One run of a suite: trained if it is not there, then measured; both are kept under a hash of all they depend on (chapter 15).

Layout below the suites' folder: `runs/KEY/` is a run of `pretrain` with the measurements of its encoder beside it,
`ridge-DIGEST.json` for a rating table whose content has this digest, with the prediction of each image. Suites share what has
the same key.
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clicv2lite.data.batches import read_squares
from clicv2lite.device import CPU
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder, untrained_encoder
from clicv2lite.errors import UserError
from clicv2lite.evaluate.keys import baseline_key, digest, is_finished
from clicv2lite.evaluate.offsets import IMAGES, read_offsets
from clicv2lite.evaluate.sizes import Data, SuiteSize
from clicv2lite.evaluate.stored import read_json
from clicv2lite.files import make_folder, write_json
from clicv2lite.method.backbone import VIT
from clicv2lite.models.by_name import load_encoder
from clicv2lite.outputs import locked
from clicv2lite.pretrain.engine import Pretraining, pretrain
from clicv2lite.pretrain.log import read_log
from clicv2lite.probe.class_folders import class_folders
from clicv2lite.probe.crossval import predicted, splits
from clicv2lite.probe.encoding import encode_task
from clicv2lite.probe.fitting import fitter
from clicv2lite.probe.imagenet import RESULT, ImagenetProbe, measure_imagenet
from clicv2lite.probe.invariance import PERPLEXITY, check_classes, class_report, name_categories, neighbourhood, tsne
from clicv2lite.probe.metrics import report
from clicv2lite.probe.predictions import keep
from clicv2lite.probe.task import Task, load_task
from clicv2lite.provenance import provenance, stamped
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import read_settings

BATCH = 64  # images encoded at once
UNPREDICTED = ("map", "offsets")  # measurements without a prediction of each image


def train(recipe: Recipe, images: Sequence[str], folder: Path, device: str = "auto") -> None:
    """Pretrain into a folder, going on where a stopped run ended; nothing to do if it is finished.

    Raises:
        KeyboardInterrupt: if it was asked to stop, after saving.
        UserError: as `pretrain`.
    """
    if is_finished(folder):
        return
    with locked(make_folder(folder, "--out"), folder=True):  # `pretrain` may be making it, by a command that `--list` printed
        if not pretrain(Pretraining(recipe, images, folder, resume=True, device=device, progress=sys.stderr.isatty())):
            raise KeyboardInterrupt
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # the encoder is what counts from here on


def about_run(folder: Path) -> dict[str, Any]:
    """Commit, hardware and seconds of a finished run."""
    stored, log = json.loads((folder / "config.json").read_text(encoding="utf-8")), read_log(folder / "metrics.jsonl")
    seconds = log[-1].get("seconds") if log else None
    return {key: stored.get(key) for key in ("commit", "hardware", "versions")} | {"seconds": seconds}


def untrained(recipe: Recipe) -> FrozenEncoder:
    """The recipe's ViT as it is before the first step."""
    return untrained_encoder("untrained", FrozenConfig(recipe.encoder, recipe.pool), recipe.seed)


class RatedImages:
    """The rated images that encoders are measured on, on which device, and where the measurements are kept."""

    def __init__(
        self, data: Data, size: SuiteSize, score_range: Sequence[float] | None = None, device: torch.device = CPU
    ) -> None:
        self.data, self.size, self.device = data, size, device
        self.task = load_task(str(data.ratings), str(data.test) if data.test else None, None, score_range)
        tables = [path.read_bytes() for path in (data.ratings, data.test) if path]
        tables += [repr(score_range).encode()] if score_range else []
        self.digest = digest(b"".join(tables))[:8]

    @cached_property
    def categories(self) -> int:
        """How many there are; 0 without a category column."""
        return len(set(self.task.categories or ()))

    def pairing(self, seed: int) -> tuple[str, str]:
        """Digests of the images that are predicted and of a seed's folds, as predictions carry them."""
        tests, train = splits(self.task, self.size.folds, seed)
        rows = np.arange(len(self.task.scores)) if train is None else tests[0]
        one = keep(self.task, rows, np.zeros(len(rows)), tests)
        return one["images"], one["folds"]

    def path(self, folder: Path, kind: str) -> Path:
        """Where a measurement of the run in a folder is kept."""
        about = {"icnet": f"{self.size.channels}", "likeness": f"-{digest(repr(self.size.likeness).encode())[:4]}"}
        how = "split" if kind == "classes" and self.task.test is not None else self.size.folds
        return folder / f"{kind}{about.get(kind, '')}-{how}-{self.digest}.json"

    def measured(self, folder: Path, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those measurements of a run that are there; one from before predictions were kept is made again."""
        paths = {kind: self.path(folder, kind) for kind in kinds}
        found = {kind: json.loads(path.read_text(encoding="utf-8")) for kind, path in paths.items() if path.is_file()}
        return {kind: one for kind, one in found.items() if kind in UNPREDICTED or "predictions" in one}

    def measure(
        self, folder: Path, encoder: FrozenEncoder | None, kinds: Sequence[str], seed: int
    ) -> dict[str, dict[str, Any]]:
        """Measure what is not there yet, keep it, and return everything.

        Args:
            folder: of the run. encoder: None loads the one in this folder.
            kinds: of `ridge`, `likeness` (ridge on token self-similarity), `icnet`, `classes`, `map`, `offsets`.
            seed: of folds, heads, bootstrap and t-SNE; the run's own, so that rows of a table share the folds of a seed.

        Returns:
            kind -> as the functions of ``clicv2lite.probe`` return it, with provenance; all but `map` and `offsets` also with
            predictions, those of `classes` 1 where the category was named. An encoder without tokens has {"missing": why} for
            `likeness`, which is not kept.
        """
        found = self.measured(folder, kinds)
        missing = [kind for kind in kinds if kind not in found]
        if not missing:
            return found
        encoder = (encoder or load_encoder(folder)).to(self.device)
        inputs: dict[str, tuple[Tensor, Task]] = {}
        for kind in missing:
            began = time.perf_counter()
            try:
                read = self.by_likeness(encoder) if kind == "likeness" else encoder
            except UserError as error:
                found[kind] = {"missing": f"cannot be read as {kind}: {error}"}
                continue
            result = self._offsets(read, seed) if kind == "offsets" else self._measure(kind, read, inputs, seed)
            seconds = round(time.perf_counter() - began, 1)
            found[kind] = {**result, "seed": seed, "seconds": seconds, **provenance(self.device)}
            folder.mkdir(parents=True, exist_ok=True)
            write_json(self.path(folder, kind), found[kind])
        return found

    def by_likeness(self, encoder: FrozenEncoder) -> FrozenEncoder:
        """The encoder read by token self-similarity; of a network whose maps get smaller, the last two maps.

        A ViT has 784 tokens at 448 px in each block. The last two maps of a ResNet have as many places and a quarter of that;
        its first one has 12,544, and comparing all pairs of them takes about half an hour of a core for a thousand images.

        Raises:
            UserError: if it has no tokens and no maps.
        """
        how, shape = read_settings(self.size.likeness, "pool_"), encoder.config.encoder
        coarse = {} if shape.backbone == VIT else {"pool_blocks": (shape.depth - 2, shape.depth - 1)}
        return encoder.read_as(how | coarse | {"pool_zoom": ()})

    def _offsets(self, encoder: FrozenEncoder, seed: int) -> dict[str, Any]:
        paths = self.task.paths[:: -(-len(self.task.paths) // IMAGES)]
        return read_offsets(encoder, read_squares(paths, encoder.config.encoder.size)[0], seed)

    def _measure(self, kind: str, encoder: FrozenEncoder, known: dict[str, tuple[Tensor, Task]], seed: int) -> dict[str, Any]:
        reads = kind if kind in ("icnet", "likeness") else "ridge"
        if reads not in known:
            known[reads] = encode_task(encoder, "icnet" if kind == "icnet" else "ridge", self.task, BATCH)[:2]
        inputs, task = known[reads]
        names = task.categories
        if kind == "classes":
            tests, train = splits(task, self.size.folds, seed)
            rows, named = name_categories(inputs, names or [], tests, train)
            true = [names[i] for i in rows] if names else []
            return {**class_report(true, named, seed=seed), "predictions": keep(task, rows, named == np.array(true), tests)}
        if kind == "map":
            points = tsne(inputs, seed)
            about = neighbourhood(points, names or [], task.scores)
            return {**about, "points": points.round(1).tolist(), "categories": names, "scores": task.scores.tolist()}
        channels = self.size.channels if kind == "icnet" else None
        fit = fitter("icnet" if kind == "icnet" else "ridge", encoder, seed, channels=channels)
        rows, predictions = predicted(fit, inputs, task, self.size.folds, seed)
        found = report(task.scores[rows], predictions, [names[i] for i in rows] if names else None, seed=seed)
        return {**found, "predictions": keep(task, rows, predictions, splits(task, self.size.folds, seed)[0])}


classes_in = cache(class_folders)  # listing a million files once is enough


def top1(
    folder: Path, root: Path | None, encoder: FrozenEncoder | None, seed: int, device: torch.device = CPU
) -> dict[str, Any] | None:
    """The linear classifier on ImageNet's layout of a run in a folder: measured now, or before, or by `probe --imagenet --out`.

    Args:
        root: the images; None takes what was measured. encoder: None loads the one in the folder.

    Returns:
        as :func:`clicv2lite.probe.imagenet.measure_imagenet`, with provenance; None if nothing is there and there is no root.

    Raises:
        UserError: for images or features that cannot be used.
    """
    path = folder / RESULT
    if path.is_file():
        found = read_json(path)
        if root is None or Path(found.get("imagenet", "")).resolve() == root.resolve():
            return found
    if root is None:
        return None
    encoder = (encoder or load_encoder(folder)).to(device)
    began, found = time.perf_counter(), measure_imagenet(encoder, classes_in(root), folder, ImagenetProbe(seed=seed))
    found = stamped(found | {"encoder": encoder.name, "imagenet": str(root)}, began, device)
    write_json(path, found)
    return found


def supervised_key(name: str, rated: RatedImages, seed: int) -> str:
    """Key of a supervised baseline, by which a known result is found; UserError if a package is missing."""
    from clicv2lite.baselines.supervised.networks import BASELINES

    return baseline_key(name, asdict(BASELINES[name].settings(rated.size.name)), seed)  # type: ignore[arg-type]


def supervised(name: str, rated: RatedImages, work: Path, seed: int) -> dict[str, Any]:
    """Train and report a supervised baseline; returns and errors of :func:`clicv2lite.baselines.supervised.folds.measure`."""
    from clicv2lite.baselines.supervised.folds import measure
    from clicv2lite.baselines.supervised.networks import BASELINES

    work.mkdir(parents=True, exist_ok=True)
    settings = BASELINES[name].settings(rated.size.name)  # type: ignore[arg-type]
    return {**measure(name, settings, rated.task, seed, rated.size.folds, work, rated.device), **provenance(rated.device)}


def check_measures(rated: RatedImages, measures: Sequence[str], suite: str) -> None:
    """Refuse, before the long part, a rating table that a suite cannot be made with.

    Raises:
        UserError: if it needs categories, two to fit on for every fold, or folds or t-SNE more images than there are.
    """
    if ({"classes", "map"} & {*measures} or suite == "fig5") and rated.categories < 2:
        raise UserError(f"{rated.data.ratings}: --suite {suite} needs a category column with two or more categories")
    count = len(rated.task.paths)
    if rated.task.test is None and count < 2 * rated.size.folds:
        raise UserError(f"{rated.data.ratings}: {count} rated images are too few for {rated.size.folds} folds; rate more")
    if "classes" in measures:  # a classifier of every fold needs two; how many a fold has does not depend on the seed
        check_classes(rated.task.categories or [], *splits(rated.task, rated.size.folds, 0), rated.data.ratings)
    if "map" in measures and count <= PERPLEXITY:
        raise UserError(f"{rated.data.ratings}: --suite {suite} needs more than {PERPLEXITY} images for t-SNE")
