"""The common part of the explorers: pictures in the widget's state, settings, and the front end as one ES module."""

from collections.abc import Mapping
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from clicv2lite.errors import UserError
from clicv2lite.extras import extra

with extra("notebooks"):
    import anywidget
    import traitlets as t

HERE = Path(__file__).parent
SIDE = 224  # pixels; the input size of the paper's encoders, and 147 KiB of state in a page
PATCH_SIZES = (8, 16, 32, 56)  # all tile SIDE
Pictures = np.ndarray | Mapping[str, np.ndarray]


def front_end(*names: str) -> str:
    """The ES module of a widget: explorer.js and the named scripts as one text, because a page cannot import files."""
    return "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in ("explorer", *names))


def style_sheet(*names: str) -> str:
    """The style of a widget: explorer.css and the named sheets as one text."""
    return "\n".join((HERE / f"{name}.css").read_text(encoding="utf-8") for name in ("explorer", *names))


def square(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The largest central square of an image (H, W, 3) uint8, resized to (side, side, 3) uint8.

    Raises:
        UserError: if the image is not uint8 RGB, or empty.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"image: expected a uint8 array (height, width, 3), got {got}; try np.asarray(read_image(path))")
    if not image.size:
        raise UserError(f"image: no pixels in an array of shape {image.shape}; pass a picture")
    return np.asarray(ImageOps.fit(Image.fromarray(image), (side, side), Image.Resampling.BICUBIC))


def squares(image: Pictures, side: int) -> dict[str, np.ndarray]:
    """Name -> square picture (see :func:`square`), from one image or a dict of images. A single image has the empty name.

    Raises:
        UserError: if something is not a picture, or there is no picture.
    """
    if not isinstance(image, Mapping):
        return {"": square(image, side)}
    if not image:
        raise UserError("image: no picture in an empty dict; pass {name: array}")
    return {str(name): square(each, side) for name, each in image.items()}


def as_batch(image: np.ndarray) -> Tensor:
    """An image (H, W, 3) uint8 as a batch of one, (1, 3, H, W) float64 in [0, 1]. The browser uses float64, too."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].double() / 255


class Widget(anywidget.AnyWidget):
    """What all widgets share: numbers of the package for the front end, and the signature that help and completion show."""

    __signature__: ClassVar[Signature]
    settings: ClassVar[tuple[str, ...]] = ()  # the traits that repr() shows
    _constants: Mapping[str, Any] = {}  # a widget sets its own before it calls super().__init__
    _css = style_sheet()

    constants = t.Dict(read_only=True).tag(sync=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _, *given = signature(cls.__init__).parameters.values()  # traitlets hides it
        cls.__signature__ = Signature(given)

    @t.default("constants")
    def _default_constants(self) -> dict[str, Any]:
        return dict(self._constants)

    def __repr__(self) -> str:
        shown = [name for name in self.settings if name != "picture" or getattr(self, name)]  # a single picture has no name
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


class Explorer(Widget):
    """Pictures and settings that are drawn. Each trait has the same value in Python and in every view of the widget.

    Args:
        image: (H, W, 3) uint8, see :func:`square`, or a dict name -> image; ``picture`` names the one that is shown.
        constants: numbers of the package that the front end needs.
        side: side of the square that is shown, pixels.
        settings: initial values of the traits in ``settings``.

    Raises:
        UserError: if something is not a picture.
        TypeError: if there is no setting of this name.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    pixels = t.Bytes(read_only=True).tag(sync=True)  # (pictures, side, side, 3) uint8
    picture = t.Unicode("", help="name of the picture that is shown").tag(sync=True)
    patch = t.Int(32, help="side of a patch, pixels").tag(sync=True)
    seed = t.Int(0, min=0, max=2**32 - 1, help="of the random draws").tag(sync=True)
    grid = t.Bool(True, help="show the borders of the patches").tag(sync=True)

    def __init__(self, image: Pictures, constants: dict[str, Any], *, side: int = SIDE, **settings: Any) -> None:
        if unknown := sorted(set(settings) - set(self.settings)):
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(unknown)}; it has {', '.join(self.settings)}")
        pictures = squares(image, side)
        self._pixels = b"".join(each.tobytes() for each in pictures.values())
        common = {"side": side, "patch_sizes": list(PATCH_SIZES), "pictures": list(pictures)}
        self._constants = common | constants
        settings["picture"] = settings.get("picture") or next(iter(pictures))
        super().__init__(**settings)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        named = [each for each in cls.__signature__.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        default = {name: getattr(cls, name).default() for name in cls.settings}
        settings = [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in default.items()]
        cls.__signature__ = Signature([*named, *settings])

    @t.default("pixels")
    def _default_pixels(self) -> bytes:
        return self._pixels

    @t.validate("picture", "patch")
    def _known(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        known = self.constants["pictures" if name == "picture" else "patch_sizes"]
        if value not in known:
            raise t.TraitError(f"The '{name}' trait of {type(self).__name__} is one of {known}, not {value!r}")
        return value

    @property
    def image(self) -> np.ndarray:
        """The picture that is drawn, (side, side, 3) uint8."""
        side, at = self.constants["side"], self.constants["pictures"].index(self.picture)
        return np.frombuffer(self.pixels, np.uint8).reshape(-1, side, side, 3)[at]
