"""Drawings of a training step as SVG: photographs, matrices, bars, and the plan of the model with its two paths back."""

import base64
import io
from collections.abc import Mapping
from html import escape

import numpy as np
from PIL import Image
from torch import Tensor

from clicv2lite.heads.heatmap import coloured

SIDE = 256  # of a drawing, in its own units
BOX = 30  # height of a part in the plan


def svg(width: float, height: float, inside: str, label: str) -> str:
    """A drawing that says what it shows, and has the page's text colour."""
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{inside}</svg>'


def _embedded(image: Image.Image, kind: str, width: float, height: float, left: float = 0) -> str:
    file = io.BytesIO()
    image.save(file, kind, quality=80)  # ignored by PNG
    data = base64.b64encode(file.getvalue()).decode()
    sharp = ' style="image-rendering: pixelated"' if kind == "PNG" else ""
    return (
        f'<image href="data:image/{kind.lower()};base64,{data}" x="{left:g}" width="{width:g}" height="{height:g}"'
        f' preserveAspectRatio="none"{sharp}/>'
    )


def photo(pixels: Tensor, label: str, lines: int = 0) -> str:
    """A picture (3, S, S) in [0, 1], with so many cells in a row if ``lines`` are wanted."""
    image = Image.fromarray((pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())
    d = "".join(f"M{at * SIDE / lines:g} 0V{SIDE}M0 {at * SIDE / lines:g}H{SIDE}" for at in range(1, lines))
    grid = f'<path d="{d}" stroke="#fff" stroke-width="1.5"/>' if lines else ""
    return svg(SIDE, SIDE, _embedded(image, "JPEG", SIDE, SIDE) + grid, label)


def _levels(values: Tensor, low: float, high: float) -> Image.Image:
    """Colours from black (low) to pale yellow (high); gray where there is no number. Mode P: a third of the bytes."""
    level = (values.double().numpy() - low) / (high - low)
    image = np.asarray(coloured(np.nan_to_num(level).clip(0, 1))).copy()
    image[np.isnan(level)] = 128
    return Image.fromarray(image).quantize(64)


def heat(values: Tensor, label: str) -> str:
    """A matrix (rows, columns) as a picture, from black (its smallest number) to pale yellow (its largest)."""
    low, high = float(values.min()), float(values.max())
    scale = f"black is {low:.2f}, pale yellow {high:.2f}"
    height = SIDE * min(1, values.shape[0] / values.shape[1] * 1.5)
    return svg(SIDE, height, _embedded(_levels(values, low, high), "PNG", SIDE, height), f"{label}; {scale}")


def cells(pairs: Mapping[str, Tensor], high: float, label: str) -> str:
    """Maps (h, w) beside each other on one scale from 0 to ``high``, each under its name."""
    wide = (SIDE - 10 * (len(pairs) - 1)) / len(pairs)
    inside = "".join(
        f'<g transform="translate({i * (wide + 10):g} 18)">{_embedded(_levels(values, 0, high), "PNG", wide, wide)}'
        f'<text x="{wide / 2:g}" y="-5" font-size="12" text-anchor="middle" fill="currentColor">{escape(name)}</text></g>'
        for i, (name, values) in enumerate(pairs.items())
    )
    return svg(SIDE, wide + 18, inside, label)


def bars(numbers: Mapping[str, float], digits: str, label: str) -> str:
    """One bar under each name, as long as its number says, and the number."""
    most, row = max(numbers.values()), 34
    inside = "".join(
        f'<text y="{i * row + 12}" font-size="12" fill="currentColor">{escape(name)}: {value:{digits}}</text>'
        f'<rect y="{i * row + 17}" width="{max(1, SIDE * value / most):.1f}" height="9" fill="var(--accent)"/>'
        for i, (name, value) in enumerate(numbers.items())
    )
    return svg(SIDE, row * len(numbers), inside, label)


def diagram(shape: Mapping[str, int]) -> str:
    """The plan of the model with the shapes of a batch: data thin, gradient solid, momentum dashed.

    A part has its name in ``data-part``, so that a script can mark it.

    Args:
        shape: B, G, V, M, N, p, D, d, S as in ``StepTensors``.
    """
    b, g, v, m, n, p, s = (shape[name] for name in "BGVMNpS")
    left, middle, right, wide = (4, 96), (122, 96), (258, 96), (4, 214)  # (x, width); a gap for the momentum's arrows
    parts = {
        "crop": (71, 212, 0, "base crop", f"{b} × 3 × {s} × {s}"),
        "patches": (71, 212, 46, "patches", f"{b} × {g} × 3 × {p} × {p}"),
        "query-view": (*wide, 92, "query view: augment, shift", ""),
        "key-view": (*right, 92, "key view", ""),
        "mask": (4, 350, 138, "mask", f"{b} × {v} × 3 × {p} × {p} stay"),
        "query": (*wide, 184, "query encoder", f"{b} × {v} × {shape['D']}"),
        "key": (*right, 184, "key encoder", f"{b} × {v} × {shape['D']}"),
        "decoder": (*left, 246, "decoder", f"{b} × {m} × 1"),
        "query-head": (*middle, 246, "query head", f"{b} × {v} × {shape['d']}"),
        "key-head": (*right, 246, "key head", f"{b} × {v} × {shape['d']}"),
        "logits": (122, 232, 308, "logits q·k / τ", f"{n} × {n}"),
        "rec": (*left, 370, "L_rec", "entropy, bits²"),
        "contrast": (122, 232, 370, "L_PwIN", "InfoNCE, nats"),
        "total": (71, 212, 432, "L = L_PwIN + λ L_rec", ""),
    }
    boxes = "".join(_part(name, *rest) for name, rest in parts.items())
    data = ["M177 30v16", "M130 76v16", "M240 76L300 92", "M130 122v16", "M306 122v16", "M111 168v16", "M306 168v16"]
    data += ["M44 214v32", "M162 214v32", "M306 214v32", "M162 276v32", "M306 276v32"]
    data += ["M44 276v94", "M230 338v32", "M80 400v32", "M230 400v32"]
    back = ["M92 432v-32", "M242 432v-32", "M60 370v-94", "M190 370v-32", "M190 308v-32", "M60 246v-32", "M190 246v-32"]
    follow = ["M218 199h40", "M218 261h40"]
    inside = (
        "<defs>"
        + "".join(
            f'<marker id="step-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{size}" markerHeight="{size}" '
            f'orient="auto"><path d="M0 0L8 4L0 8z"/></marker>'
            for kind, size in (("data", 6), ("gradient", 4), ("momentum", 5))
        )
        + "</defs>"
        + "".join(
            f'<g class="step-{kind}" data-part="{kind}">'
            + "".join(f'<path d="{d}" marker-end="url(#step-{kind})"/>' for d in paths)
            + "</g>"
            for kind, paths in (("data", data), ("gradient", back), ("momentum", follow))
        )
        + '<text class="step-m" x="238" y="193">m</text><text class="step-m" x="238" y="255">m</text>'
        + boxes
    )
    label = (
        "Plan of a training step. Crop, patches, a query view and a key view, one mask. The query encoder feeds the decoder "
        "and the query head; the key encoder feeds the key head. Queries and keys meet in the logits. L_rec comes from the "
        "decoder, L_PwIN from the logits; their weighted sum is L. The gradient runs from L through both losses to decoder, "
        "query head and query encoder. Key encoder and key head follow their query twins by momentum."
    )
    return svg(358, 466, inside, label)


def _part(name: str, x: float, width: float, y: float, title: str, shape: str) -> str:
    at = f'x="{x + width / 2:g}"'
    text = f'<text {at} y="{y + (13 if shape else 19)}">{escape(title)}</text>'
    text += f'<text {at} y="{y + 25}" class="step-shape">{escape(shape)}</text>' if shape else ""
    dashed = ' class="step-followed"' if name.startswith("key") and name != "key-view" else ""
    return f'<g data-part="{name}"><rect x="{x}" y="{y}" width="{width}" height="{BOX}" rx="4"{dashed}/>{text}</g>'
