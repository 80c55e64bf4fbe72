"""Worlds computed per pixel: gratings and fractal noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clicv2lite.data.worlds.canvas import entering
from clicv2lite.data.worlds.palette import COLOURS, LUMA, Palette, by_rank, smooth

Field = NDArray[np.float32]

_SIDE = 128  # computed at least at this side, then averaged down
_PATCHES = 26
_LATTICE = 160  # points of the finest octave's lattice per side
_OCTAVES = 6
_RAMP = 1024


def _average(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return image if len(image) == size else np.array(Image.fromarray(image).reduce(len(image) // size))


def _side(size: int) -> int:
    return size * max(1, -(-_SIDE // size))


def gratings(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Sinusoidal to square-wave gratings: one broad one, then patches of others on top.

    With the level grow: the spatial frequency (1.2 to about 20 cycles per image), the number of patches (1, just begun, to 26),
    the curvature of the stripes, the colours. The seed draws: orientation, sharpness of the stripes, shape of the patches.
    """
    palette = Palette.draw(rng)
    common, sharp, round_patches = rng.random(3)
    u = rng.random((_PATCHES + 1, 9))
    grown = np.concatenate([[1.0], entering(level, 0.35, _PATCHES)])
    side = _side(size)
    axis = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    frequency = 1.2 * 18**level * 2 ** (1.6 * level * (u[:, 0] - 0.5))
    angle = 2 * np.pi * (common + u[:, 1])
    curve = 3.0 * level * (u[:, 2] - 0.5)
    index = by_rank(u[:, 3])
    # The second colour of a grating differs in lightness by at least four ranks.
    order = np.argsort(palette.colours @ LUMA)
    other = order[(np.argsort(order)[index] + 4 + (5 * u[:, 4]).astype(int)) % COLOURS]
    bright = palette.colours[index]
    # The first stripes, and some later ones, are on the background; the others of two colours.
    plain = (u[:, 5] < 0.35) | (np.arange(_PATCHES + 1) == 0)
    dark = np.where(plain[:, None], palette.background, palette.colours[other])
    reach = np.concatenate([[2.0], 0.30 * np.arange(1, _PATCHES + 1) ** -0.28])[: len(grown)] * grown
    image: Field = np.empty((side, side, 3), np.float32)
    for k, r in enumerate(reach.tolist()):
        cx, cy = (u[k, 6:8] - 0.5).tolist()
        a, b = np.searchsorted(axis, [cx - r, cx + r]).tolist()
        c, d = np.searchsorted(axis, [cy - r, cy + r]).tolist()
        if a == b or c == d:
            continue
        x, y = axis[None, a:b] - np.float32(cx), axis[c:d, None] - np.float32(cy)
        cos, sin = float(np.cos(angle[k])), float(np.sin(angle[k]))
        along, across = cos * x + sin * y, cos * y - sin * x
        phase = (2 * np.pi * frequency[k]) * (along + float(curve[k]) * across * across) + 2 * np.pi * float(u[k, 8])
        # Steeper than one pixel per edge would alias: the slope follows the wavelength in pixels.
        slope = min(1 + 9 * sharp * sharp, side / (np.pi * float(frequency[k])))
        wave = np.clip(np.sin(phase) * np.float32(slope), -1, 1) * np.float32(0.5) + np.float32(0.5)
        stripes = dark[k].astype(np.float32) + wave[..., None] * (bright[k] - dark[k]).astype(np.float32)
        if k == 0:
            image[:] = stripes
            continue
        disc = round_patches < 0.5
        far = np.sqrt(x * x + y * y) if disc else np.maximum(abs(along), abs(across)) * np.float32(1.35)
        cover = np.clip((r - far) * side + 0.5, 0, 1)[..., None]
        image[c:d, a:b] += cover * (stripes - image[c:d, a:b])
    return _average((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), size)


def _ramp(palette: Palette, bands: float, order: NDArray[np.int64], start: float, edge: float) -> NDArray[np.uint8]:
    """(1024, 3) colours along the height of the noise; more bands spread them from the middle height outwards."""
    stops = np.concatenate([palette.background[None], palette.colours[order]])
    place = np.linspace(-0.5, 0.5, _RAMP) * bands + start
    low = np.floor(place).astype(int)
    t = smooth((place - low - 0.5) * (1 + edge) + 0.5)[:, None]
    at, after = stops[low % len(stops)], stops[(low + 1) % len(stops)]
    return ((at + t * (after - at)) * 255).round().astype(np.uint8)


def noise(level: float, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Fractal noise, coloured along a ramp: soft clouds at first, many-coloured fine marble in the end.

    With the level grow: the base frequency, the weight of the fine octaves (roughness), the number of colour bands. The
    seed draws: stretch and its direction, smooth or hard bands, plain or ridged noise.
    """
    palette = Palette.draw(rng)
    stretch, hard, ridged, shift = rng.random(4)
    order = np.concatenate([[0], 1 + rng.random(COLOURS - 1).argsort()])
    corner = rng.random((_OCTAVES, 2))
    lattice = rng.random((_OCTAVES, _LATTICE, _LATTICE), dtype=np.float32)
    side = _side(size)
    base = 1.5 * (5.5 / 1.5) ** level
    gain = 0.22 + 0.40 * level
    height: Field = np.zeros((side, side), np.float32)
    power = 0.0
    for k in range(_OCTAVES):
        weight = gain**k
        window = base * 2**k * np.array([2.0 ** (stretch - 0.5), 2.0 ** (0.5 - stretch)])
        window = np.minimum(window, _LATTICE - 6)
        middle = _LATTICE / 2 + 4 * (corner[k] - 0.5)
        box = (*(middle - window / 2).tolist(), *(middle + window / 2).tolist())
        octave = np.asarray(Image.fromarray(lattice[k]).resize((side, side), Image.Resampling.BICUBIC, box=box))
        height += np.float32(weight) * (octave - np.float32(0.5))
        power += weight**2
    height /= np.float32(np.sqrt(power) * 0.19)  # about unit variance
    if ridged < 0.4:
        height = np.abs(height) * np.float32(1.5) - np.float32(1.2)
    place = np.clip(height * np.float32(0.19) + np.float32(0.5), 0, 1) * np.float32(_RAMP - 1)
    ramp = _ramp(palette, 1.4 + 7 * level, order, 0.3 + 0.4 * shift, 6 * hard * hard)
    return _average(ramp.take(place.astype(np.int32), axis=0), size)
