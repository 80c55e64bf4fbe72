"""Sphinx extension: ``{pipeline}``, one photograph on its way from pixels to a score, in six drawings.

Every drawing is an SVG of what the package computes for that photograph when the book is built: its patches, a shifted and
masked view of them, how rare each of them is to the model, their shares in the score, and the score.
"""

import base64
import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.encoders.token_similarity import RARITY
from clicv2lite.heads.heatmap import overlay, relative, smooth
from clicv2lite.method.masking import random_mask
from clicv2lite.method.patches import patchify, unpatchify
from clicv2lite.method.pixels import denormalize
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig, one_view, uniform
from clicv2lite.models.by_name import DEFAULT
from clicv2lite.models.model import Model, load_model

PHOTOGRAPH, ALT = "coffee", "a cup of coffee on a wooden table"
SIDE, PATCH = 168, 12  # of a drawing and its patches, pixels
GRID = SIDE // PATCH
STEPS = [
    ("Pixels", "A photograph, squashed to a square."),
    ("Patches", "Each square becomes a token of 192 numbers."),
    ("Encoder", "It learned from hidden patches, without a rating."),
    ("Rarity", "Bright patches have few others like them."),
    ("Shares", "A linear head says which places add to the score."),
    ("Score", "Their mean is the complexity, from 0 to 1."),
]


def drawings(model: Model, path: Path) -> list[str]:
    """One SVG for each of `STEPS`."""
    photo = read_square(path, SIDE)
    square = Image.fromarray(photo.permute(1, 2, 0).numpy())
    shares = overlay(square, relative(smooth(model.complexity_map(path))))
    score = model.score(path)
    lines = "".join(f"M{at} 0V{SIDE}M0 {at}H{SIDE}" for at in range(PATCH, SIDE, PATCH))
    grid = f'<path d="{lines}" stroke="#fff" stroke-width="1.5"/>'
    return [
        svg(picture(square), ALT),
        svg(picture(square) + grid, f"The same, cut into {GRID} by {GRID} squares"),
        svg(picture(_seen(photo)), "The same, most of its patches hidden"),
        svg(picture(_rare(model, path)), "Bright where a patch is rare: the cup's rim, the spoon, the saucer's edge"),
        svg(picture(shares), "The photograph under its map: bright on the spoon beside the cup"),
        svg(_dial(score), f"A scale from 0 to 1 with a mark at {score:.2f}"),
    ]


def svg(inside: str, label: str) -> str:
    """A square drawing with a name."""
    return f'<svg viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(label)}">{inside}</svg>'


def picture(image: Image.Image) -> str:
    """An image that fills the drawing, inside the page."""
    file = io.BytesIO()
    small = image.width < SIDE
    image.save(file, "PNG" if small else "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    style = ' style="image-rendering: pixelated"' if small else ""
    return f'<image href="data:image/{"png" if small else "jpeg"};base64,{data}" width="{SIDE}" height="{SIDE}"{style}/>'


def _seen(photo: torch.Tensor) -> Image.Image:
    """A view of which the masked patches are gray; the model in the package learned without the shift."""
    places = GRID * GRID
    config = ViewConfig(size=SIDE, patch=PATCH, augment="none", max_shift=0)
    noise = uniform(0, np.zeros(1, int), np.zeros(1, int), places * (PATCH_DRAWS + 1))
    draws = noise[:, : places * PATCH_DRAWS].reshape(1, places, PATCH_DRAWS)
    view = one_view(patchify(photo[None].float() / 255, PATCH), draws, config)
    _, masked = random_mask(noise[:, places * PATCH_DRAWS :], config.mask_ratio)
    shown = denormalize(view).clamp(0, 1)
    shown[0, masked[0]] = 0.5
    pixels = unpatchify(shown, (GRID, GRID))[0].permute(1, 2, 0)
    return Image.fromarray((255 * pixels).round().byte().numpy())


def _rare(model: Model, path: Path) -> Image.Image:
    """Rarity of each patch in the last block that the encoder is read in, in the colours of the maps."""
    pool = model.encoder.config.pool
    with torch.inference_mode():
        last = model.encoder.channels(read_square(path, model.encoder.size)[None])[len(pool.blocks) - 1]
    rarity = last[0, :, :, RARITY].double().numpy()
    return overlay(Image.new("RGB", rarity.shape), relative(rarity), strength=1)


def _dial(score: float) -> str:
    left, right = 14, SIDE - 14
    at = left + score * (right - left)
    ticks = "".join(
        f'<text x="{left + t * (right - left)}" y="146" font-size="15" text-anchor="middle" fill="currentColor">{t:g}</text>'
        for t in (0, 0.5, 1)
    )
    number = f'x="{SIDE / 2}" y="78" font-size="52" font-weight="700" text-anchor="middle" fill="currentColor"'
    return (
        f"<text {number}>{score:.2f}</text>"
        f'<path d="M{left} 120H{right}" stroke="currentColor" stroke-width="4" stroke-linecap="round"/>'
        f'<circle cx="{at:.1f}" cy="120" r="9" fill="#e07a2f" stroke="currentColor" stroke-width="2"/>{ticks}'
    )


class Pipeline(SphinxDirective):
    """``{pipeline}``"""

    def run(self) -> list[nodes.Node]:
        for file in DEFAULT.iterdir():
            self.env.note_dependency(str(file))
        drawn = drawings(load_model("default", "cpu"), photographs()[PHOTOGRAPH])
        items = [
            f"<li>{drawing}<p><strong>{title}</strong> {escape(text)}</p></li>"
            for drawing, (title, text) in zip(drawn, STEPS, strict=True)
        ]
        return [nodes.raw("", f'<ol class="pipeline">{"".join(items)}</ol>', format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("pipeline", Pipeline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
