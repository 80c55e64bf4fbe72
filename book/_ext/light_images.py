"""Sphinx extension: pictures are small files, and a page loads one when its reader comes near.

A PNG becomes a WebP, without loss where that is the smaller file (drawings), else at a quality that the eye does not tell from
the whole (photographs). Each picture says its size, so that nothing moves when it comes. A wide one says how narrow it may
become: on a phone book.css lets its reader move it sideways, where shrinking would make its words too small.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from sphinx.application import Sphinx

PICTURE = re.compile(r'<img\b([^>]*?\bsrc="(?:\.\./)*_images/([^"/]+\.png)"[^>]*)>')
LINK = re.compile(r'(\b(?:src|href)="(?:\.\./)*_images/[^"/]+)\.png"')
QUALITY = 90
WIDE, LEAST = 800, 0.55  # pixels; and the share of its width at which a drawing's smallest words are still 7 pixels high


def light(body: str, size_of: Callable[[str], tuple[int, int]]) -> str:
    """HTML whose pictures are WebP, loaded late, and of a known size: ``size_of`` a PNG's name are its width and height."""

    def tag(found: re.Match[str]) -> str:
        attributes, name = found[1].rstrip(" /"), found[2]
        width, height = size_of(name)
        size = "" if " width=" in attributes else f' width="{width}" height="{height}"'
        image = f'<img{attributes}{size} loading="lazy" decoding="async" />'
        return f'<span class="wide-picture" style="--least: {LEAST * width:.0f}px">{image}</span>' if width > WIDE else image

    return LINK.sub(r'\1.webp"', PICTURE.sub(tag, body))


def convert(png: Path) -> None:
    """Write the WebP beside a PNG, and remove the PNG."""
    with Image.open(png) as image:
        opaque = not image.has_transparency_data or image.convert("RGBA").getchannel("A").getextrema() == (255, 255)
        pixels = image.convert("RGB" if opaque else "RGBA")
    target = png.with_suffix(".webp")
    pixels.save(exact := png.with_suffix(".exact.webp"), lossless=True)
    pixels.save(target, quality=QUALITY, use_sharp_yuv=True)
    if exact.stat().st_size <= target.stat().st_size:
        exact.replace(target)
    exact.unlink(missing_ok=True)
    png.unlink()


def _lighten_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    paths = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def size_of(name: str) -> tuple[int, int]:
        with Image.open(paths[name]) as image:
            return image.size

    if "body" in context:
        context["body"] = light(context["body"], size_of)


def _convert_all(app: Sphinx, error: Exception | None) -> None:
    if not error and app.builder.format == "html":
        for png in Path(app.outdir, "_images").glob("*.png"):
            convert(png)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _lighten_page)
    app.connect("build-finished", _convert_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
