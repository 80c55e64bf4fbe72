"""Draw book/_static/picture.png, of the README: `.venv/bin/python book/picture.py`."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.method.augmentation import augment
from clicv2lite.method.entropy import patch_entropy
from clicv2lite.method.masking import random_mask
from clicv2lite.method.patches import patchify, unpatchify
from clicv2lite.method.pixels import MEAN, STD
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig, one_view, uniform

SIDE, PATCH, GRID = 224, 16, (14, 14)


def main() -> None:
    image = read_square(photographs()["astronaut"], SIDE)[None].float() / 255
    patches = patchify(image, PATCH)
    config = ViewConfig(size=SIDE, patch=PATCH)
    sample = torch.arange(2).numpy()
    draws, mask_noise = uniform(0, sample, sample, 196 * (PATCH_DRAWS + 1)).split(
        [196 * PATCH_DRAWS, 196], dim=1
    )
    draws = draws.reshape(2, 196, PATCH_DRAWS)
    plain = replace(
        config, augment="none", zeros="before"
    )  # colours as they are, zeros black
    views = [
        denormalize(unpatchify(one_view(patches, noise[None], plain), GRID)[0])
        for noise in draws
    ]
    _, masked = random_mask(mask_noise[:1], config.mask_ratio)
    seen = augment(patches, draws[:1, :, :5], config)
    seen[0, masked[0]] = 1.0
    hidden = torch.full((196,), float("nan"))
    hidden[masked[0]] = patch_entropy(patches)[0, masked[0]]

    figure, axes = plt.subplots(1, 5, figsize=(15, 3.4), layout="constrained")
    panels = [
        (image[0], "an image"),
        (views[0], "one view: every patch shifted"),
        (views[1], "the other view"),
        (unpatchify(seen, GRID)[0], "what the encoder sees (40 %)"),
    ]
    for axis, (panel, title) in zip(axes, panels, strict=False):
        axis.imshow(panel.permute(1, 2, 0).clamp(0, 1).numpy())
        axis.set_title(title)
    drawn = axes[4].imshow(hidden.reshape(GRID).numpy(), cmap="viridis", vmin=0, vmax=5)
    axes[4].set_title("what the decoder predicts")
    figure.colorbar(drawn, ax=axes[4], label="entropy of the patch (bits)", shrink=0.85)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(Path(__file__).parent / "_static" / "picture.png", dpi=80)


def denormalize(image: torch.Tensor) -> torch.Tensor:
    """Undo views.normalize for drawing."""
    return image * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]


if __name__ == "__main__":
    main()
