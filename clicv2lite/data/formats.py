"""Which formats of images are decoded here, and what the other files are that people take for images (book chapter 12).

A file is what its first bytes say, whatever its name is.
"""

import importlib
import importlib.util
import os
from functools import cache
from typing import BinaryIO, NamedTuple

FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "QOI", "TGA", "HEIF", "JXL",
)  # fmt: skip
"""The formats that Pillow may decode for us, by its names; JPEG includes MPO. Its other plugins are never asked.

These are the ones in which people hold pictures, decoded by Pillow's own code or a codec in its wheel; HEIF and JXL by
plugins, if they are installed. Left out are EPS and WMF, for which Pillow starts another program or the system's drawing;
the containers of science (FITS, HDF5, GRIB) and video, which it only recognises; ICO, ICNS, DDS, whose files hold one
picture at several sizes; PSD, of which it shows one flattened copy; and some forty years of formats that nobody sends.
"""

ENDINGS = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm",
    ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip
"""What the names of images end in."""
TGA_ENDINGS = (".tga", ".icb", ".vda", ".vst")
RAW = (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")  # of cameras
OTHER_ENDINGS = (
    ".ai", ".bpg", ".cur", ".dcm", ".dds", ".dicom", ".djvu", ".emf", ".eps", ".exr", ".fit", ".fits", ".flif", ".hdr", ".icns",
    ".ico", ".jxr", ".kra", ".pam", ".pcx", ".pdf", ".ps", ".psb", ".psd", ".ras", ".sgi", ".svg", ".svgz", ".wdp", ".wmf",
    ".xbm", ".xcf", ".xpm", *RAW,
)  # fmt: skip
"""Endings of images that are not read: a folder names them, and does not pass over them in silence."""
NOT_IMAGES = frozenset((
    ".bin", ".bz2", ".css", ".csv", ".db", ".doc", ".docx", ".gz", ".h5", ".htm", ".html", ".ini", ".ipynb", ".js", ".json",
    ".jsonl", ".log", ".md", ".mp3", ".mp4", ".npy", ".npz", ".parquet", ".pkl", ".pt", ".pth", ".py", ".pyc", ".rst",
    ".safetensors", ".sh", ".tar", ".tex", ".toml", ".tsv", ".txt", ".wav", ".xml", ".xz", ".yaml", ".yml", ".zip", ".zst",
))  # fmt: skip
"""Endings of files that a folder need not open to see whether they are images."""


class Plugin(NamedTuple):
    """A package that teaches Pillow a format."""

    module: str
    package: str  # what pip installs
    register: str  # function to call; "" if importing the module is enough
    endings: tuple[str, ...]


PLUGINS = {
    "HEIF": Plugin("pillow_heif", "pillow-heif", "register_heif_opener", (".heic", ".heif", ".hif")),
    "JXL": Plugin("pillow_jxl", "pillow-jxl-plugin", "", (".jxl",)),
}
PLUGIN_OF = {ending: plugin.package for plugin in PLUGINS.values() for ending in plugin.endings}
HEAD = 512  # bytes that tell what a file is

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_IMAGES: tuple[tuple[str, int, bytes], ...] = (
    ("JPEG", 0, b"\xff\xd8\xff"), ("PNG", 0, b"\x89PNG\r\n\x1a\n"), ("GIF", 0, b"GIF87a"), ("GIF", 0, b"GIF89a"),
    ("TIFF", 0, b"II*\0"), ("TIFF", 0, b"MM\0*"), ("TIFF", 0, b"II+\0"), ("TIFF", 0, b"MM\0+"), ("WEBP", 8, b"WEBP"),
    ("QOI", 0, b"qoif"), ("JPEG2000", 0, b"\xff\x4f\xff\x51"), ("JPEG2000", 0, b"\0\0\0\x0cjP  \r\n\x87\n"),
    ("JXL", 0, b"\xff\x0a"), ("JXL", 0, b"\0\0\0\x0cJXL \r\n\x87\n"),
)  # fmt: skip
_OTHER_IMAGES: tuple[tuple[str, int, bytes], ...] = (
    ("an EPS file", 0, b"%!PS"), ("an EPS file", 0, b"\xc5\xd0\xd3\xc6"), ("a PDF file", 0, b"%PDF"),
    ("a Photoshop file (PSD)", 0, b"8BPS"), ("a GIMP file (XCF)", 0, b"gimp xcf"), ("a DICOM file", 128, b"DICM"),
    ("a FITS file", 0, b"SIMPLE  ="), ("a WMF file", 0, b"\xd7\xcd\xc6\x9a"), ("an EMF file", 40, b" EMF"),
    ("an ICO file", 0, b"\0\0\1\0"), ("an ICNS file", 0, b"icns"), ("a DDS file", 0, b"DDS "),
    ("an OpenEXR file", 0, b"v/1\1"), ("a Radiance HDR file", 0, b"#?RADIANCE"), ("a Radiance HDR file", 0, b"#?RGBE"),
    ("an SGI file", 0, b"\x01\xda"), ("a PCX file", 0, b"\n\5\1\x08"), ("a Sun raster file", 0, b"Y\xa6j\x95"),
    ("a PAM file", 0, b"P7\n"), ("a JPEG XR file", 0, b"II\xbc"), ("a BPG file", 0, b"BPG\xfb"), ("a FLIF file", 0, b"FLIF"),
    ("a DjVu file", 0, b"AT&TFORM"), ("an MNG file", 0, b"\x8aMNG"), ("an XPM file", 0, b"/* XPM"),
    ("a camera's raw file", 4, b"ftypcrx"), ("a camera's raw file", 0, b"FUJIFILMCCD-RAW"), ("a camera's raw file", 0, b"IIRO"),
)  # fmt: skip
_OTHERS: tuple[tuple[str, int, bytes], ...] = (
    ("an HDF5 file", 0, b"\x89HDF\r\n"), ("a GRIB file", 0, b"GRIB"), ("a NumPy file", 0, b"\x93NUMPY"),
    ("a video", 4, b"ftyp"), ("a video", 4, b"moov"), ("a video", 0, b"\x1aE\xdf\xa3"), ("a video", 8, b"AVI "),
    ("a video", 0, b"\0\0\1\xba"), ("a video", 0, b"\0\0\1\xb3"), ("a video", 0, b"FLV\1"), ("a video", 0, b"0&\xb2u"),
    ("a video or sound", 0, b"OggS"), ("a sound", 8, b"WAVE"), ("a sound", 0, b"ID3"), ("a ZIP archive", 0, b"PK\3\4"),
    ("a gzip archive", 0, b"\x1f\x8b"), ("a tar archive", 257, b"ustar"), ("a 7z archive", 0, b"7z\xbc\xaf"),
    ("an Office file", 0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), ("an SQLite database", 0, b"SQLite format 3"),
    ("a program", 0, b"\x7fELF"),
)  # fmt: skip


def image_format(file: BinaryIO, name: str = "") -> str | None:
    """Which of FORMATS an open file is of, by its first bytes; None for anything else. The file is left at its beginning.

    Args:
        name: whose ending tells a TGA, and a camera's raw file, which is a TIFF whose first picture is a thumbnail.
    """
    file.seek(0)
    head = file.read(HEAD)
    ending = os.path.splitext(name)[1].lower()
    kind = of_head(head)
    if kind is None and head:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 18))
        named = ending in TGA_ENDINGS and other(head) is None
        kind = "TGA" if named or file.read(18) == b"TRUEVISION-XFILE.\0" else None
    file.seek(0)
    return None if kind == "TIFF" and ending in RAW else kind


def of_head(head: bytes) -> str | None:
    """The format of FORMATS, but TGA, that a file begins with; None if there is none."""
    for kind, at, mark in _IMAGES:
        if head.startswith(mark, at) and (kind != "WEBP" or head[:4] == b"RIFF"):
            return kind
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 16, 40, 52, 56, 64, 108, 124):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456Ff" and head[2:3].isspace() and head[2:].lstrip()[:1] in b"#0123456789":
        return "PPM"
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(int.from_bytes(head[:4], "big"), len(head)), 4))}
        return "AVIF" if brands & {b"avif", b"avis"} else "HEIF" if head[8:12] in _HEIF else None
    return None


def other(head: bytes, images: bool = False) -> str | None:
    """What a file is that begins so, with its article, if that can be told and is not one of FORMATS.

    Args:
        images: tell images only, and not videos, archives and the like.
    """
    known = _OTHER_IMAGES if images else _OTHER_IMAGES + _OTHERS
    return next((what for what, at, mark in known if head.startswith(mark, at)), None)


def instead(head: bytes, name: str = "") -> str:
    """What to say of a file that is of none of FORMATS: what it is, and what to do."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "this is a web page (HTML), not an image; fetch the image itself"
    if text.startswith((b"<svg", b"<?xml")):
        return "this is an XML or SVG file, not a raster image; export it as PNG"
    if text.startswith(b"version https://git-lfs"):
        return "this is a pointer of Git LFS, not the image; fetch it with git lfs pull"
    ending = os.path.splitext(name)[1].lower()
    if ending in RAW and of_head(head) == "TIFF":
        return f"a camera's raw file ({ending}), which is not read; convert it to PNG"
    if what := other(head):
        return f"{what}, which is not read; convert it to PNG"
    return "not an image that can be read here (or its beginning is damaged); convert it to JPEG or PNG, or remove it"


def is_unread(ending: str) -> bool:
    """Whether names of images end so that this installation does not read."""
    return ending in OTHER_ENDINGS or (ending in PLUGIN_OF and ending not in readable_endings())


@cache
def readable_endings() -> frozenset[str]:
    """Of the names of images that this installation reads."""
    return frozenset(ENDINGS).union(*(plugin.endings for kind, plugin in PLUGINS.items() if has_decoder(kind)))


@cache
def has_decoder(kind: str) -> bool:
    """Whether a format of FORMATS is Pillow's own, or its plugin is installed."""
    return kind not in PLUGINS or importlib.util.find_spec(PLUGINS[kind].module) is not None


def load_plugin(kind: str) -> None:
    """Teach Pillow the format of FORMATS, if that is the work of a plugin.

    Raises:
        ImportError: if the plugin is missing or does not work.
    """
    if plugin := PLUGINS.get(kind):
        module = importlib.import_module(plugin.module)
        if plugin.register:
            getattr(module, plugin.register)()
