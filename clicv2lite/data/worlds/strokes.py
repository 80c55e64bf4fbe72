"""Worlds of strokes: pages of glyphs and line drawings."""

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.worlds.canvas import Canvas, entering, turn
from clicv2lite.data.worlds.palette import COLOURS, Floats, Palette, by_rank, smooth, to_rgb

_ALPHABET, _ROWS, _COLUMNS = 26, 26, 40
_STROKES = 90
_PEN = np.linspace(0, 1, 72)
_BEZIER = np.linspace(0, 1, 6)[:, None]


def _alphabet(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """An invented script, in a unit box: a letter is one stroke of three arcs (26, 18, 2) and a bar (26, 2, 2)."""
    grid = np.array([3, 4])  # places for nodes across and down
    nodes = (rng.random((_ALPHABET, 7, 2)) * grid).astype(int) / (grid - 1)
    nodes[:, 0, 1], nodes[:, 6, 1] = 0, 1  # every letter spans the height of the line
    weights = np.hstack([(1 - _BEZIER) ** 2, 2 * _BEZIER * (1 - _BEZIER), _BEZIER**2])
    arcs = [weights @ nodes[:, i : i + 3] for i in (0, 2, 4)]
    bar = (rng.random((_ALPHABET, 2, 2)) * grid).astype(int) / (grid - 1)
    bar[:, 1, 1] = bar[:, 0, 1]  # level
    return np.concatenate(arcs, axis=1), bar


def glyphs(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """A page in an invented script, from one large letter or two to dense columns of small coloured words.

    With the level grow: the number of lines and letters (their size falls), the unevenness of line heights, the
    colours, the share of highlighted words. The seed draws: script, boldness, tilt, word lengths, direction.
    """
    palette = Palette.draw(rng)
    bold, tilt, down, dense = rng.random(4)
    stroke, bar = _alphabet(rng)
    line = rng.random((_ROWS, 2))
    u = rng.random((_ROWS, _COLUMNS, 3))
    pitch = 0.46 * (0.047 / 0.46) ** level * np.exp(0.9 * level * (line[:, 0] - 0.45))
    top = 0.07 + np.cumsum(pitch) - pitch
    full = 0.4 + 0.5 * level  # how far down the page is written
    row_seen = smooth((0.12 + full - top - pitch * 0.4) / pitch)
    space = (u[..., 0] < 0.15 + 0.1 * dense) & (np.arange(_COLUMNS) > 1)
    word = np.cumsum(space, axis=1) * 5 + np.arange(_ROWS)[:, None]
    advance = 0.62 * pitch[:, None] * (0.85 + 0.3 * u[..., 1])
    left = 0.07 + np.cumsum(advance, axis=1) - advance
    margin = 0.94 - 0.35 * line[:, 1, None] * (1 - 0.6 * level)
    seen = row_seen[:, None] * smooth((margin - left) / advance) * ~space
    seen[0, 0] = 1
    r, k = np.nonzero(seen > 0.02)
    grown = seen[r, k]
    hashed = word * 0.618034 % 1
    index = (hashed[r, k] * np.minimum(COLOURS, 1 + r / 1.5)).astype(int)
    lit = smooth(3 * level - 0.6 - 4 * (word * 0.7548777 % 1))
    canvas = Canvas(size, palette)

    def place(x: Floats, y: Floats) -> Floats:
        xy = np.stack([y, x] if down < 0.2 else [x, y], -1) - 0.5
        return turn(xy, 1.2 * (tilt - 0.5) ** 3) + 0.5

    # A highlight starts as an underline, becomes a box, and the letters in it take the background's colour.
    marks = lit[r, k] * smooth(2 * grown - 1)
    h, w, x0, y0 = pitch[r], advance[r, k], left[r, k], top[r]
    box_x = (x0 - 0.12 * w)[:, None] + w[:, None] * np.array([0, 1.04, 1.04, 0])
    box_y = (y0 + 0.76 * h)[:, None] - (0.9 * h * marks)[:, None] * np.array([0, 0, 1, 1])
    fills = palette.paint(index, np.zeros(len(r)))
    for xy, fill, mark in zip(canvas.lists(place(box_x, box_y)), fills, marks.tolist(), strict=True):
        if mark > 0:
            canvas.draw.polygon(xy, fill=fill)
    own = palette.colours[index]
    inks = to_rgb(own + marks[:, None] * (palette.background - own))
    letter = (_ALPHABET * u[r, k, 2]).astype(int)
    scale = np.stack([0.40 * h, 0.62 * h], -1)[:, None] * grown[:, None, None]
    origin = np.stack([x0, y0], -1)[:, None]
    body, cross = origin + stroke[letter] * scale, origin + bar[letter] * scale
    thick = ((0.05 + 0.09 * bold) * h * grown).tolist()
    bodies, crosses = (canvas.lists(place(p[..., 0], p[..., 1])) for p in (body, cross))
    for xy, bar_xy, ink, width in zip(bodies, crosses, inks, thick, strict=True):
        canvas.stroke(xy, ink, width)
        canvas.stroke(bar_xy, ink, width)
    return canvas.pixels()


def line_drawings(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Pen strokes: plain arcs first, then waves, loops, coils and stars of many colours.

    With the level grow: the number of strokes (1 to 90; the pen draws each from its start), the turns in each stroke,
    the colours. The seed draws: pen width, common direction, where the drawing is centred.
    """
    palette = Palette.draw(rng)
    pen, common = rng.random(2)
    middle = 0.5 + 0.16 * (rng.random(2) - 0.5)
    u = rng.random((_STROKES, 14))
    grown = entering(level, 0.9, _STROKES)
    n = len(grown)
    u = u[:n]
    i = np.arange(n)
    start = middle + (u[:, :2] - 0.5) * (0.25 + 0.75 * np.minimum(1, i / 12))[:, None]
    heading = 2 * np.pi * (common + 0.5 * u[:, 2] * (0.3 + 0.7 * level))
    going = u[:, 4] > 0.35  # the others turn on the spot: circles, spirals, rosettes
    length = (0.75 - 0.4 * level) * (0.4 + u[:, 3]) * going
    t = _PEN * grown[:, None]  # the pen has come this far
    x = length[:, None] * (_PEN - 0.5) * grown[:, None]
    y = 0.5 * ((u[:, 5] - 0.5) * length)[:, None] * (1 - (2 * _PEN - 1) ** 2)
    rosette = (~going & (u[:, 6] < 0.5))[:, None]
    turns = np.where(going, (1 + 7 * u[:, 6]) * level, np.where(rosette[:, 0], 1.0, 1 + 5 * (u[:, 6] - 0.5) * level))
    swing = np.where(going, 0.10 * u[:, 7] * level**0.5, (0.05 + 0.16 * u[:, 7] ** 2) * (1.25 - 0.5 * level))[:, None]
    swing = swing * (1 - 0.85 * (~rosette & (u[:, 8:9] > 0.5)) * level * t)  # half of the coils wind inwards
    petals = np.floor(3 + 6 * u[:, 13:]) * rosette
    swing = swing * (1 + 0.5 * level**0.5 * np.cos(2 * np.pi * petals * t) * rosette)
    phase = 2 * np.pi * (turns[:, None] * t + u[:, 9, None])
    loop = (u[:, 10:11] > 0.45) | ~going[:, None]  # loops, or waves: those have no lengthwise part
    xy = turn(np.stack([x + swing * np.cos(phase) * loop, y + swing * np.sin(phase)], -1), heading[:, None])
    canvas = Canvas(size, palette)
    width = (0.006 + 0.016 * pen) * np.exp(0.8 * (u[:, 11] - 0.5)) * (1 - 0.45 * level)
    inks = palette.paint(by_rank(u[:, 12]), 2 * u[:, 11] - 1)
    for pen_xy, ink, w in zip(canvas.lists(xy + start[:, None]), inks, width.tolist(), strict=True):
        canvas.stroke(pen_xy, ink, w)
    return canvas.pixels()
