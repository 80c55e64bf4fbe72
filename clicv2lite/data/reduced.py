"""Decoding a large image at a fraction of its size, where its format allows it, and what a decode takes of the memory."""

import struct
from typing import BinaryIO, cast

from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

HEADER = 2**16  # bytes in which a JPEG 2000 says how often it can be halved
STORED = {"1": 1, "L": 1, "P": 1}  # bytes of a pixel in Pillow, which keeps RGB in four; I;16 has two
CODECS = {"WEBP": 12, "AVIF": 12, "HEIF": 12, "JXL": 12, "JPEG2000": 16}  # bytes of a pixel that the decoder keeps beside


def draft(image: Image.Image, file: BinaryIO, at_least: int | None) -> int:
    """Have an image decoded at 1, 1/2, 1/4 ... of its size with both sides >= `at_least`, if it is a JPEG or JPEG 2000.

    Args:
        image: opened from `file`, not loaded.
        at_least: pixels; None leaves the image as it is.

    Returns:
        The bytes of memory that decoding it then takes, about.
    """
    # Progressive: libjpeg keeps the coefficients of the whole image, 2 bytes in up to 3 channels.
    kept = 6 * image.width * image.height if image.info.get("progressive") else 0
    if at_least is not None and image.format == "JPEG2000":
        halvings = min(_halvings(file), max(1, min(image.size) // at_least).bit_length() - 1)
        if halvings:
            cast(Jpeg2KImageFile, image).reduce = halvings
            return kept + memory(image) // 4**halvings
    elif at_least is not None:
        image.draft(None, (at_least, at_least))  # other formats than JPEG ignore it
    return kept + memory(image)


def memory(image: Image.Image) -> int:
    """Bytes that an image of this size, mode and format takes while it is decoded and becomes RGB, about."""
    stored = 2 if image.mode.startswith("I;16") else STORED.get(image.mode, 4)
    copy = 0 if image.mode == "RGB" else 4
    return image.width * image.height * (stored + copy + CODECS.get(image.format or "", 0))


def _halvings(file: BinaryIO) -> int:
    """How often the side of a JPEG 2000 can be halved in decoding: the levels that its COD names; 0 if there is a COC."""
    at = file.tell()
    file.seek(0)
    head = file.read(HEADER)
    file.seek(at)
    start = head.find(b"\xff\x4f\xff\x51")
    found: list[int] = []
    while start >= 0 and (start := start + 2) + 4 <= len(head):
        marker, length = struct.unpack_from(">HH", head, start)
        if marker == 0xFF90 or not marker > 0xFF00 or length < 2:  # SOT: the first tile begins
            return min(found, default=0)
        if marker == 0xFF52 and start + 10 <= len(head):
            found.append(head[start + 9])
        if marker == 0xFF53:  # COC: a channel of its own
            found.append(0)
        start += length
    return 0
