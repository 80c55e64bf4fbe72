"""`clicv2lite pairs`: how far the two views of a pair differ in complexity, by the way they are made (figure 2; chapter 2)."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.baselines.measures.basic import Pixels, edge_density, jpeg_size, local_entropy
from clicv2lite.data.images import read_square
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from clicv2lite.files import put_json
from clicv2lite.method.patches import unpatchify
from clicv2lite.method.pixels import denormalize
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig, base_crop, view_of
from clicv2lite.outputs import add_json
from clicv2lite.probe.metrics import interval
from clicv2lite.provenance import stamped


@dataclass(frozen=True)
class PairKind:
    """How the two views of a pair come about: a crop each or one for both, then what happens to each view alone."""

    one_crop: bool  # both views share one crop
    config: ViewConfig  # of the crop (never mirrored here), the augmentation and the shift


KINDS: dict[str, PairKind] = {
    "two crops": PairKind(False, ViewConfig(crop_min=0.2, augment="none", max_shift=0)),
    "two windows": PairKind(False, ViewConfig(crop="window", size=112, patch=16, augment="none", max_shift=0)),
    "two crops, augmented": PairKind(False, ViewConfig(crop_min=0.2, augment="image", max_shift=0)),
    "aligned crops": PairKind(True, ViewConfig(augment="none", max_shift=0)),
    "aligned, augmented": PairKind(True, ViewConfig(augment="image", max_shift=0)),
    "shift": PairKind(True, ViewConfig(augment="none")),
    "augmentation per patch": PairKind(True, ViewConfig(max_shift=0)),
    "shifted patchify": PairKind(True, ViewConfig()),
}
"""Every way by its name: crops of 20 to 100 % of the image as MoCo's; windows of 112 px at the image's own scale, as the paper
draws CLIC's; and, from one crop of 50 to 100 %, what `make_views` does: nothing, either half of it, or all."""

PROXIES: dict[str, Callable[[Pixels], float]] = {
    "JPEG size": jpeg_size,
    "edge density": edge_density,
    "patch entropy": lambda image: local_entropy(image, 32 if image.shape[0] >= 224 else 16),
}
"""Stand-ins for complexity: three of chapter 1's measures that see different things."""


def draw_pair(images: Tensor, kind: PairKind, generator: torch.Generator) -> Tensor:
    """The two views of every image, unmasked, as pictures (the normalisation undone).

    Args:
        images: (B, 3, H, W) uint8.

    Returns:
        (2, B, 3, size, size) float32 in [0, 1].
    """
    config, b = kind.config, len(images)
    h, w = config.grid
    noise = torch.rand(2, b, 5, generator=generator)
    noise[..., 4] = 1  # mirroring one of two crops changes no measure, only our own comparing of pictures
    crops = [base_crop(images, noise[0], config)]
    crops.append(crops[0] if kind.one_crop else base_crop(images, noise[1], config))
    views = []
    for crop in crops:
        draws = torch.rand(b, h * w, PATCH_DRAWS, generator=generator)
        cells = view_of(crop, draws, config)
        views.append(unpatchify(denormalize(cells), (h, w)).clamp(0, 1))
    return torch.stack(views)


def proxies(views: Tensor) -> dict[str, Floats]:
    """Every proxy of pictures (..., 3, H, W) in [0, 1], as 8 bits: name -> (...) values."""
    shape = views.shape[:-3]
    pixels = (views.flatten(0, -4) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return {name: np.array([f(image) for image in pixels]).reshape(shape) for name, f in PROXIES.items()}


def between_within(values: ArrayLike) -> tuple[float, float]:
    """Two variances that add up: between images, and between the two views of an image (one-way random effects).

    Args:
        values: (..., 2, n), two views of n >= 2 images; the results are averaged over the leading axes.

    Returns:
        Both without bias, so that the first may be a little below 0 where images do not differ.

    Raises:
        ValueError: for another shape.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.ndim < 2 or v.shape[-2] != 2 or v.shape[-1] < 2:
        raise ValueError(f"values of shape {v.shape}; needed are (..., 2, n): two views of at least two images")
    within = float(((v[..., 0, :] - v[..., 1, :]) ** 2 / 2).mean())
    of_means = float(v.mean(-2).var(-1, ddof=1).mean())
    return of_means - within / 2, within  # the mean of two views still carries half of what differs within


def pair_bias(values: ArrayLike) -> float:
    """Share of the variance that lies between two views of one image: 1 minus the intraclass correlation (Fisher, 1925).

    Args:
        values: as :func:`between_within`.

    Returns:
        0 if views agree, 1 if a pair is no more alike than any two images; nan if all values are equal.
    """
    between, within = between_within(values)
    return within / (between + within) if between + within else float("nan")


def pair_bias_interval(values: ArrayLike, resamples: int = 1000, seed: int = 0) -> list[float] | None:
    """95 % interval of :func:`pair_bias`: images drawn with replacement, each with all of its views."""
    v = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    return interval(np.array([pair_bias(v[..., rng.integers(v.shape[-1], size=v.shape[-1])]) for _ in range(resamples)]))


def twice(values: ArrayLike) -> float:
    """Share of pairs (..., 2, n), of values >= 0, in which one is at least twice the other.

    Two zeros are equal.
    """
    v = np.asarray(values, dtype=np.float64)
    larger, smaller = v.max(-2), v.min(-2)
    return float(((larger >= 2 * smaller) & (larger > 0)).mean())


def measure_pairs(images: Tensor, draws: int, seed: int = 0) -> dict[str, dict[str, Floats]]:
    """Every proxy of ``draws`` pairs of every kind: kind -> proxy -> (draws, 2, B) values.

    Args:
        images: (B, 3, H, W) uint8, at least 112 pixels a side.
    """
    found = {}
    for name, kind in KINDS.items():
        generator = torch.Generator().manual_seed(seed)
        rows = [proxies(draw_pair(images, kind, generator)) for _ in range(draws)]
        found[name] = {proxy: np.stack([row[proxy] for row in rows]) for proxy in PROXIES}
    return found


def _report(values: Floats) -> dict[str, Any]:
    between, within = between_within(values)
    bias = within / (between + within) if between + within else None  # JSON knows no nan
    return {
        "pair_bias": bias,
        "ci": pair_bias_interval(values),
        "between": between,
        "within": within,
        "twice": twice(values),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `pairs`."""
    parser.add_argument(
        "--images", nargs="+", action="extend", required=True, help="folder, tar, brace pattern, embedded or worlds:N"
    )
    parser.add_argument("--limit", type=int, default=150, help="images to take, evenly spaced (150)")
    parser.add_argument("--draws", type=int, default=4, help="pairs of every kind per image (4)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure every kind of pair on some images; exit status 0, UserError for images or an output that cannot be used."""
    began = time.perf_counter()
    if args.limit < 2 or args.draws < 1:
        raise UserError(f"--limit {args.limit} --draws {args.draws}: at least 2 images and 1 pair of each are needed")
    images = _some(args.images, args.limit)
    result = {
        "metric": "pair_bias",
        "n": len(images),
        "draws": args.draws,
        "kinds": {kind: {p: _report(v) for p, v in row.items()} for kind, row in measure_pairs(images, args.draws).items()},
    }
    put_json(args.json, stamped(result, began))
    return 0


def _some(sources: Sequence[str], limit: int) -> Tensor:
    """At most ``limit`` images of the sources, evenly spaced, as squares (n, 3, 224, 224) uint8."""
    found = open_images(sources)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int)).tolist()
    if len(chosen) < 2:
        raise UserError(f"{' '.join(sources)}: one image; a variance between images needs at least two")
    return torch.stack([read_square(found.read(i), 224, found.names[i]) for i in chosen])
