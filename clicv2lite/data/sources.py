"""Where images come from: folders, tars here or elsewhere, files, photographs in the wheels, procedural worlds.

Every source becomes part of one indexable set; reading image i needs no other image, so that the order of training is
free, a resumed run starts anywhere, and workers share nothing but the index (book chapter 10).
"""

import itertools
import operator
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import overload

from clicv2lite.data.embedded import photographs
from clicv2lite.data.folders import holds_image, kind_passed, list_folder, passed_over
from clicv2lite.data.names import PackedNames, is_tar_name
from clicv2lite.data.parts import Embedded, Files, Part, worlds_of
from clicv2lite.data.tars.braces import expand_braces
from clicv2lite.data.tars.index import TarImages, index_tar
from clicv2lite.data.tars.remote import is_address
from clicv2lite.errors import UserError
from clicv2lite.interrupts import Threads
from clicv2lite.lines import say
from clicv2lite.torchrun import from_torchrun

REQUESTS = 16  # tars elsewhere that are indexed at once


class ImageSet:
    """The images of all sources, in the order given: `len(s)`, `s.names[i]`, `s.read(i)`.

    It holds no open file and can be pickled, so any number of forked or spawned workers can read from it at once.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._ends = list(itertools.accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __repr__(self) -> str:
        return f"ImageSet({len(self)} images)"

    @property
    def names(self) -> "Names":
        """(n,) what to call each image in a message or a table."""
        return Names(self)

    def read(self, i: int) -> bytes:
        """The encoded bytes of image i, for `read_image(s.read(i), name=s.names[i])`.

        Raises:
            ImageError: if the file has become unreadable since the set was opened.
            IndexError: if there is no image i.
        """
        part, k = self.locate(i)
        return part.read(k)

    def locate(self, i: int) -> tuple[Part, int]:
        """The part that holds image i, and its index there."""
        i = range(len(self))[operator.index(i)]  # negative from the end; IndexError outside
        at = bisect_right(self._ends, i)
        return self.parts[at], i - (self._ends[at - 1] if at else 0)


class Names(Sequence[str]):
    """A set's names, made when looked at."""

    def __init__(self, images: ImageSet) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part, k = self._images.locate(index)
        return part.name(k)


def open_images(sources: Sequence[str]) -> ImageSet:
    """Open image sources.

    >>> from clicv2lite.data.sources import open_images
    >>> images = open_images(["embedded", "worlds:10"])  # photographs of installed packages, 10 procedural images
    >>> images.names[0], len(images.read(0)) > 0  # read gives the bytes of the file
    ('embedded/astronaut', True)

    Args:
        sources: each one of
            a folder: its image files, as `folders.list_folder` finds them, sorted by path;
            an uncompressed tar: its image members in their order;
            a brace pattern: `shards/{000000..001499}.tar`, expanded as the shell would;
            the address of a tar, or a pattern of them: `s3://bucket/{000000..001499}.tar`, for any file system of fsspec;
            an image file;
            `embedded`: photographs in the installed wheels; `worlds:N` or `worlds:N:seed`: N procedural images
            (a folder of such a name is reached as `./embedded`).

    Returns:
        The set of all their images, in order.

    Raises:
        UserError: for a source that is missing, empty, damaged or not understood; it is named.
    """
    if not sources:
        raise UserError("no image source was given; name a folder, a tar, an image, embedded or worlds:N")
    return ImageSet([part for source in sources for part in _parts(str(source))])


def _parts(source: str) -> Iterator[Part]:
    if source == "embedded":
        yield Embedded(tuple(photographs().items()))
    elif source.startswith("worlds:"):
        yield worlds_of(source)
    elif is_address(source):
        with Threads(REQUESTS) as threads:
            yield from map(_told, threads.map(_elsewhere, expand_braces(source)))
    elif "{" in source and not os.path.exists(source):
        for path in _existing(source):
            yield _part(path)
    else:
        yield _part(source)


def _elsewhere(address: str) -> TarImages:
    if not address.lower().split("?")[0].endswith(".tar"):
        raise UserError(f"{address}: from elsewhere only tars are read, named *.tar; pack the images with clicv2lite data pack")
    return index_tar(address)


def _part(path: str) -> Part:
    if os.path.isdir(path):
        return _folder(path)
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such folder, tar or image; check the path")
    if is_tar_name(path):
        return _told(index_tar(path))
    if holds_image(path):
        return Files("", PackedNames([path]))
    if kind := kind_passed(path):
        raise UserError(f"{passed_over(path, Counter([kind]))}; convert it to PNG")
    raise UserError(f"{path}: not a folder, a .tar or an image, by its name; give one of these")


def _told(tar: TarImages) -> TarImages:
    _tell(passed_over(tar.path, tar.index.passed))
    return tar


@cache  # a set is opened more than once
def _tell(line: str) -> None:
    if line and not from_torchrun("RANK"):  # not for every process of a training
        say(line)


def _folder(root: str) -> Files:
    found = list_folder(root, follow=True)
    for error in found.errors:
        raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror}); check its permissions")
    line = passed_over(root, found.passed)
    if not found.images:
        hint = f"; its {found.tars} tars are sources of their own: name them" if found.tars else "; check the path"
        hint = f"; {line.removeprefix(f'{root}: ')}" if line else hint
        raise UserError(f"{root}: no image in this folder or below (.jpg, .png, .webp ...){hint}")
    _tell(line)
    return Files(root, PackedNames(sorted(found.images)))


def _existing(pattern: str) -> list[str]:
    paths = expand_braces(pattern)
    if paths == [pattern]:
        raise UserError(f"{pattern}: there is no such file, and the braces are not a range such as {{000000..000003}}")
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        count = f"{len(missing)} of its {len(paths)} files"
        raise UserError(f"{pattern}: {count} are missing, the first is {missing[0]}; correct the range or fetch them")
    return paths
