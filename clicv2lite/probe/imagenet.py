"""`clicv2lite probe --imagenet`: top-1 accuracy of a linear classifier on frozen features (CLICv2, tables 3 and 5; chapter 9).

Every image is encoded once, by the middle of it (:mod:`clicv2lite.data.centre`), and its features are kept on the disk; the
classifier (:mod:`clicv2lite.heads.classifier`) reads nothing else. Under torchrun the ranks share the encoding; the first one
then fits the classifier alone.
"""

import argparse
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from clicv2lite.data.cache import cache_dir
from clicv2lite.data.centre import short_side
from clicv2lite.data.names import as_text
from clicv2lite.distributed import Ranks, join
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError, check_counts, check_positive, check_seed, one_line
from clicv2lite.extras import extra
from clicv2lite.files import make_folder, put_json
from clicv2lite.heads.classifier import RATES, ClassifierTraining, choose_rate, fit_classifiers
from clicv2lite.lines import say
from clicv2lite.models.by_name import load_encoder
from clicv2lite.probe.class_folders import PARTS, ClassFolders, class_folders
from clicv2lite.probe.feature_shards import FeatureShards
from clicv2lite.probe.predictions import kept
from clicv2lite.provenance import stamped
from clicv2lite.recipes.settings import read_settings

PATIENCE = timedelta(days=7)  # ranks finish their shards at different times
FORMAT = "1 centre"  # of the features: another way to read images or to store features needs another word
RESULT = "imagenet.json"
Made = TypeVar("Made")


@dataclass(frozen=True)
class ImagenetProbe:
    """The options of the probe."""

    training: ClassifierTraining = field(default_factory=ClassifierTraining)
    rate: float | None = None  # per 256 images; None: the best on held-out training images
    batch_size: int = 64  # images encoded at once
    seed: int = 0  # of the order of the images and of what is held out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the classifier; `--epochs` and `--lr` are those of the other probe, too."""
    group = parser.add_argument_group(
        "imagenet", "options of --imagenet; the defaults are those of MAE's linear probing, but for features encoded once"
    )
    group.add_argument("--imagenet-batch", type=int, metavar="N", help="images a step of the classifier (default 1024)")


def run(args: argparse.Namespace) -> int:
    """Encode what is missing, fit, test, report; exit status 0."""
    began = time.perf_counter()
    root, probe = Path(args.imagenet), _options(args)
    with join(args.device, PATIENCE) as ranks:

        def prepare() -> tuple[FrozenEncoder, ClassFolders]:
            encoder = load_encoder(args.encoder, args.seed).read_as(read_settings(args.set, "pool_"))
            return encoder.to(ranks.device), class_folders(root)

        encoder, images = _everywhere(ranks, prepare)
        shards = _encoded(encoder, images, args.out, probe, ranks)
    if not ranks.first:
        return 0
    found = _classified(encoder, images, shards, probe)
    about = {"encoder": args.encoder, "set": args.set, "imagenet": args.imagenet, "ranks": ranks.size}
    result = stamped(found | about, began, encoder.device)
    if args.json:
        put_json(args.json, result)
    if result["skipped"]:
        say(f"{len(result['skipped'])} images could not be read, {one_line(result['skipped'][0])} ...")
    print(summary(result))
    if args.out:
        put_json(args.out / RESULT, result, "--out")
    return 0


def measure_imagenet(encoder: FrozenEncoder, images: ClassFolders, out: Path | None, probe: ImagenetProbe) -> dict[str, Any]:
    """The probe in this process alone.

    Args:
        out: features are kept below it; None is the user's cache.

    Returns:
        top1 with top1_ci (Wilson, 95 %) and top5, shares of the n readable images of `val`; per_class: {name: {n_train, n,
        top1, top5}}; rate, and rates: {rate: share right of the held-out images}, None if the rate was given; how the images
        were read and the classifier was fitted; skipped: the unreadable images; predictions: 1 where the class was right, as
        :func:`clicv2lite.probe.predictions.kept` keeps them, with labels for scores.

    Raises:
        UserError: for images or features that cannot be used.
    """
    return _classified(encoder, images, _encoded(encoder, images, out, probe, Ranks()), probe)


def summary(result: dict[str, Any]) -> str:
    """The result as a few lines for people."""
    low, high = result["top1_ci"]
    tried = f", the best of {len(result['rates'])} on held-out training images" if result["rates"] else ""
    lines = [
        f"linear classifier on {result['encoder']}: {result['n']} images of {result['classes']} classes",
        f"top-1  {100 * result['top1']:5.1f} %   95 % interval {100 * low:.1f} to {100 * high:.1f}",
        f"top-5  {100 * result['top5']:5.1f} %",
        f"learning rate {result['rate']:g} per 256 images{tried}",
    ]
    if result["rates"] and result["rate"] in (RATES[0], RATES[-1]):
        lines.append("this rate is the last one tried on its side: give others with --lr")
    return "\n".join(lines)


def _options(args: argparse.Namespace) -> ImagenetProbe:
    ratings = {"test": args.test, "folds": args.folds, "score_range": args.score_range, "channels": args.channels}
    ratings |= {"within_categories": args.within_categories or None, "head icnet": args.head == "icnet" or None}
    for name, value in ratings.items():
        if value is not None:
            raise UserError(f"--{name.replace('_', '-')}: an option of --ratings; leave it out with --imagenet")
    check_counts(batch_size=args.batch_size, epochs=args.epochs, imagenet_batch=args.imagenet_batch)
    check_positive(lr=args.lr)
    check_seed(args.seed)
    usual = ClassifierTraining()
    training = ClassifierTraining(args.epochs or usual.epochs, args.imagenet_batch or usual.batch)
    return ImagenetProbe(training, args.lr, args.batch_size, args.seed)


def _everywhere(ranks: Ranks, make: Callable[[], Made]) -> Made:
    """Make something on every rank, on the first one first: a mistake of the user is then told once."""
    found: Made | None = ranks.first_alone(make)
    return make() if found is None else found


def _encoded(
    encoder: FrozenEncoder, images: ClassFolders, out: Path | None, probe: ImagenetProbe, ranks: Ranks
) -> tuple[FeatureShards, ...]:
    """The shards of `train` and `val`, when all ranks have made theirs."""
    about = ranks.first_alone(lambda: f"{FORMAT} {encoder.digest()} {images.listing()}")
    key = hashlib.sha256(ranks.from_first(about).encode()).hexdigest()[:16]  # of one rank: processors round differently
    folder = make_folder((out or cache_dir()) / "features" / key, "--out" if out else "$CLICV2LITE_CACHE")
    if ranks.first:
        say(f"features are kept in {folder}")
    shards = tuple(FeatureShards(folder, part, getattr(images, part)) for part in PARTS)
    for one in shards:
        one.encode(encoder, probe.batch_size, ranks)
    ranks.collect(None)
    return shards


def _classified(
    encoder: FrozenEncoder, images: ClassFolders, shards: tuple[FeatureShards, ...], probe: ImagenetProbe
) -> dict[str, Any]:
    with extra("probe"):
        from scipy.stats import binomtest
    device, count = encoder.device, len(images.classes)
    (x, read), (x_val, read_val) = (one.load() for one in shards)
    if len(x) < 2 or not len(x_val):
        raise UserError(f"--imagenet {images.train.root.parent}: too few readable images; fetch them again")
    y, y_val = (torch.from_numpy(one.labels[mask]) for one, mask in ((images.train, read), (images.val, read_val)))
    x = x.to(device)
    rates = choose_rate(x, y, count, probe.training, probe.seed) if probe.rate is None else None
    rate = next(iter(rates)) if rates else probe.rate
    (classifier,) = fit_classifiers(x, y, count, [rate], probe.training, probe.seed)  # type: ignore[list-item]
    right = classifier.best(x_val.to(device), min(5, count)) == y_val[:, None]
    top1, top5 = right[:, 0].numpy(), right.any(1).numpy()
    interval = binomtest(int(top1.sum()), len(top1)).proportion_ci(method="wilson")
    skipped = [
        as_text(str(path))
        for one, mask in ((images.train, read), (images.val, read_val))
        for i in np.flatnonzero(~mask)
        for path in one.paths(slice(int(i), int(i) + 1))
    ]
    return {
        "metric": "top1",
        "top1": float(top1.mean()),
        "top1_ci": [float(interval.low), float(interval.high)],
        "top5": float(top5.mean()),
        "n": len(top1),
        "n_train": len(x),
        "classes": count,
        "per_class": _per_class(images.classes, y, y_val, top1, top5),
        "rate": rate,
        "rates": {f"{key:g}": value for key, value in sorted(rates.items())} if rates else None,
        "epochs": probe.training.epochs,
        "batch": probe.training.batch,
        "momentum": probe.training.momentum,
        "reading": f"short side {short_side(encoder.size)} px, bicubic, centre {encoder.size} px; encoded once",
        "skipped": skipped,
        "predictions": kept([images.val.names[int(i)] for i in np.flatnonzero(read_val)], y_val.numpy(), None, top1, []),
        "seed": probe.seed,
    }


def _per_class(classes: tuple[str, ...], y: Tensor, y_val: Tensor, top1: Any, top5: Any) -> dict[str, dict[str, Any]]:
    fitted, tested, first, five = (
        np.bincount(labels, weights, len(classes))
        for labels, weights in ((y, None), (y_val, None), (y_val, top1), (y_val, top5))
    )
    return {
        as_text(name): {
            "n_train": int(fitted[i]),
            "n": int(tested[i]),
            "top1": first[i] / tested[i] if tested[i] else None,
            "top5": five[i] / tested[i] if tested[i] else None,
        }
        for i, name in enumerate(classes)
    }
