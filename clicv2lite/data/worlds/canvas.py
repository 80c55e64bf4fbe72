"""A supersampled canvas in pixels of its own, and the rule by which elements enter gradually with the level."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clicv2lite.data.worlds.palette import RGB, Floats, Palette, smooth, to_rgb

_SIDE = 384  # the canvas has at least this side, so that thumbnails are averages of the same scene
_THICK = 9  # canvas pixels; the corners of thinner lines need no joints
_BANDS = 40  # strips of a gradient: at most 17 % of the range, hence steps of about one grey level


def entering(level: float, first: float, last: float) -> Floats:
    """Growth of each element that is present at a level.

    The number of elements rises geometrically from `first` to `last`, because the eye judges ratios of numbers; each
    one grows from nothing, the later ones more slowly (per element), so that a small step of the level changes little.

    Returns:
        (n,) in 0..1, the later elements smaller; elements that have not entered are left out.
    """
    present = first * (last / first) ** level
    i = np.arange(int(np.ceil(present)))
    return smooth((present - i) / (1 + i / 8))


def turn(xy: Floats, angle: Floats | float) -> Floats:
    """Rotates points (..., 2) by an angle (broadcast to the leading axes), radians."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = xy[..., 0], xy[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


class Canvas:
    """An image to draw on, several times finer than asked for; `pixels` averages it down, which is the anti-aliasing.

    Coordinates of the scene are in 0..1; `lists` scales them to the canvas once for all elements, because
    Pillow is fastest on plain lists.
    """

    def __init__(self, size: int, palette: Palette) -> None:
        self._factor = max(3, -(-_SIDE // size))
        self.side = size * self._factor
        self._image = Image.new("RGB", (self.side, self.side), to_rgb(palette.background[None])[0])
        self.draw = ImageDraw.Draw(self._image)
        if not np.array_equal(palette.background, palette.glow):
            self._gradient(palette)

    def _gradient(self, palette: Palette) -> None:
        t = np.arange(_BANDS)[:, None] / _BANDS
        near = 1.5 * t - 0.75
        far, high = near + 1.7 / _BANDS, np.full_like(t, 0.75)  # strips overlap a little: no seams
        corners = np.hstack([near, -high, near, high, far, high, far, -high]).reshape(_BANDS, 4, 2)
        colours = palette.background + t * (palette.glow - palette.background)
        for xy, colour in zip(self.lists(turn(corners, palette.angle) + 0.5), to_rgb(colours), strict=True):
            self.draw.polygon(xy, fill=colour)

    def lists(self, points: Floats) -> list[list[float]]:
        """(n, v, 2) points of the scene to n flat lists x, y, x, y ... in canvas pixels."""
        return (points.reshape(len(points), -1) * self.side).tolist() if len(points) else []

    def discs(self, centres: Floats, radii: Floats, colours: Sequence[RGB]) -> None:
        """Filled discs at (n, 2) centres with (n,) radii, painted in order."""
        boxes = np.concatenate([centres - radii[:, None], centres + radii[:, None]], axis=1) * self.side
        for box, colour in zip(boxes.tolist(), colours, strict=True):
            self.draw.ellipse(box, fill=colour)

    def stroke(self, xy: list[float], colour: RGB, width: float) -> None:
        """A polyline (flat list, canvas pixels) of a width in scene units; round joints and ends when it is thick."""
        pixels = max(1, round(width * self.side))
        joint = "curve" if pixels > _THICK else None
        self.draw.line(xy, fill=colour, width=pixels, joint=joint)
        if pixels < 4:
            return
        r = (pixels - 1) / 2
        for x, y in (xy[:2], xy[-2:]):
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def pixels(self) -> NDArray[np.uint8]:
        """The finished image, (size, size, 3) uint8."""
        return np.array(self._image.reduce(self._factor))
