"""A decoded picture of any mode -> RGB, upright, strip by strip: a large one needs no second and third copy of itself."""

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from clicv2lite.data.regular import ImageError

REDUCING_GAP = 2.0  # resize from at least twice the size: with it, shortcuts (JPEG draft, box reduction) do not show
STRIP = 2**20  # pixels that are converted at once
ROUNDING = 1e-3  # floats may leave 0..1 by this, a quarter of a level of 8 bits
TURNS = dict(zip(range(2, 9), [  # EXIF orientation -> what makes it upright
    Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
], strict=True))  # fmt: skip
SAY_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # what Pillow keeps of a file


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, if there is none."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF says nothing about the orientation, and the picture itself is whole
        return 1
    return int(found) if found in TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """The image as its EXIF orientation says; itself if it stands upright."""
    turn = TURNS.get(orientation(image))
    if turn is None:
        return image
    turned = image.transpose(turn)
    # So nothing turns it twice. Pillow's exif_transpose writes EXIF anew, which fails for another broken tag.
    for key in SAY_ORIENTATION:
        turned.info.pop(key, None)
    return turned


def rgb(image: Image.Image, label: str) -> Image.Image:
    """The image in mode RGB, laid on white; itself if it is that already.

    Args:
        image: of any mode, loaded.
        label: what to call it in an error.

    Raises:
        ImageError: if its gray levels have no defined range.
    """
    if _plain(image):
        return image
    if image.width * image.height <= STRIP:
        return _part(image, label)
    whole = Image.new("RGB", image.size)
    for top, strip in _strips(image, label, 1):
        whole.paste(strip, (0, top))
    whole.info = strip.info
    return whole


def squashed(image: Image.Image, size: int, label: str) -> Image.Image:
    """`rgb(image, label)` resized to a square, bilinear, with REDUCING_GAP, to the bit; no large image becomes RGB whole.

    What a resize with a gap does first is a reduction by whole factors; here each strip is reduced as soon as it is RGB.
    """
    width, height = image.size
    if _plain(image) or width * height <= STRIP:
        return rgb(image, label).resize((size, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    across, down = (int(side / size / REDUCING_GAP) or 1 for side in image.size)
    reduced = Image.new("RGB", (-(-width // across), -(-height // down)))
    for top, strip in _strips(image, label, down):
        reduced.paste(strip.reduce((across, down)), (0, top // down))
    return reduced.resize((size, size), Image.Resampling.BILINEAR, box=(0, 0, width / across, height / down))


def few_levels(image: Image.Image, deep: bool) -> str:
    """What to say of 16-bit levels that end at 14 bits or below, as those of many cameras do; "" if they do not.

    Args:
        deep: the file has 16 bits a channel, of which Pillow keeps the upper 8 of colours.
    """
    wide = image.mode.startswith("I")
    if not (wide or deep):
        return ""
    levels = np.asarray(image) if image.mode == "I;16B" else image.getextrema()  # which knows no big-endian mode
    highest = int(np.max(levels))  # of all channels
    bits = highest.bit_length() + (0 if wide else 8)
    if highest <= 0 or bits > 14:
        return ""
    maximum = f" (maximum {highest})" if wide else ""
    advice = f"to use the full range, multiply them by {2 ** (16 - bits)}"
    return f"its levels use only {bits} of 16 bits{maximum}; they are taken as they are, dark; {advice}"


def _plain(image: Image.Image) -> bool:
    return image.mode == "RGB" and not image.has_transparency_data


def _strips(image: Image.Image, label: str, multiple: int) -> Iterator[tuple[int, Image.Image]]:
    """The top row of each strip, and the strip in RGB; all but the last have a multiple of `multiple` rows."""
    rows = max(1, STRIP // (image.width * multiple)) * multiple
    for top in range(0, image.height, rows):
        yield top, _part(image.crop((0, top, image.width, min(image.height, top + rows))), label)


def _part(image: Image.Image, label: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image, label)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_8_bits(image: Image.Image, label: str) -> Image.Image:
    """Gray of 16 bits (0..65535; modes I;16 and I) or of floats (0..1; mode F) to mode L."""
    floats = image.mode == "F"
    level = np.asarray(image, dtype=np.float32) / (1.0 if floats else 65535.0)
    clear = image.info.get("transparency")
    low, high = float(level.min()), float(level.max())
    if floats:
        check_floats(low, high, label, "save the image with 8 or 16 bits a channel")
        level = level.clip(0, 1)
    elif low < 0 or high > 1:
        kind = "integers outside 0..65535"
        raise ImageError(f"{label}: its gray levels are {kind}; save the image with 8 or 16 bits a channel")
    elif isinstance(clear, int):  # the one level that a PNG of 16 bits may call transparent
        level[np.asarray(image) == clear] = 1
    return Image.fromarray(np.round(level * 255).astype(np.uint8))


def check_floats(low: float, high: float, label: str, advice: str) -> None:
    """Raise ImageError if floats from `low` to `high` leave 0..1 by more than rounding.

    Args:
        label: of the image. advice: what to do, unless the levels seem to be 0..255.
    """
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    if low >= 0 and 2 < high <= 255:
        advice = "they seem to be 0..255: divide them by 255"
    raise ImageError(f"{label}: floats from {low:.4g} to {high:.4g} are outside 0..1; {advice}")
