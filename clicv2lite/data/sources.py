"""Where images come from: folders, tars here or elsewhere, files, photographs in the wheels, procedural worlds.

Every source becomes part of one indexable set; reading image i needs no other image, so that the order of training is
free, a resumed run starts anywhere, and workers share nothing but the index (book chapter 10).
"""

import io
import itertools
import operator
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

from PIL import Image

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import ImageError
from clicv2lite.data.names import PackedNames, is_image_name, is_tar_name
from clicv2lite.data.tars.braces import expand_braces
from clicv2lite.data.tars.index import index_tar
from clicv2lite.data.tars.remote import is_address
from clicv2lite.errors import UserError

REQUESTS = 16  # tars elsewhere that are indexed at once


class Part(Protocol):
    """What one source contributes: `len(part)` images, each with a name and encoded bytes."""

    def __len__(self) -> int: ...
    def name(self, i: int) -> str: ...
    def read(self, i: int) -> bytes: ...


@dataclass(frozen=True, eq=False)
class Files:
    """Image files below one root."""

    root: str
    paths: PackedNames

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return os.path.join(self.root, self.paths[i])

    def read(self, i: int) -> bytes:
        try:
            return Path(self.name(i)).read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{self.name(i)}: the file cannot be read ({reason}); is it gone?") from None


@dataclass(frozen=True, eq=False)
class Embedded:
    """The photographs that installed packages carry."""

    files: tuple[tuple[str, Path], ...]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return f"embedded/{self.files[i][0]}"

    def read(self, i: int) -> bytes:
        return self.files[i][1].read_bytes()


@dataclass(frozen=True, eq=False)
class Worlds:
    """Procedural images, the ones of `worlds.sample(n, seed)`, drawn when they are read."""

    seed: int
    recipes: tuple[tuple[str, float, int], ...]  # category, complexity, seed of each image

    def __len__(self) -> int:
        return len(self.recipes)

    def name(self, i: int) -> str:
        return f"worlds:{self.seed}/{i:06d}-{self.recipes[i][0]}"

    def read(self, i: int) -> bytes:
        from clicv2lite.data.worlds import render

        buffer = io.BytesIO()
        Image.fromarray(render(*self.recipes[i])).save(buffer, "PPM")  # lossless, and nothing to compress or inflate
        return buffer.getvalue()


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
            a folder: its image files (`names.EXTENSIONS`), searched recursively, sorted by path, hidden ones left out;
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
        yield _worlds(source)
    elif is_address(source):
        with ThreadPoolExecutor(REQUESTS) as pool:
            yield from pool.map(_elsewhere, expand_braces(source))
    elif "{" in source and not os.path.exists(source):
        for path in _existing(source):
            yield _part(path)
    else:
        yield _part(source)


def _elsewhere(address: str) -> Part:
    if not address.lower().split("?")[0].endswith(".tar"):
        raise UserError(f"{address}: from elsewhere only tars are read, named *.tar; pack the images with clicv2lite data pack")
    return index_tar(address)


def _part(path: str) -> Part:
    if os.path.isdir(path):
        return _folder(path)
    if not os.path.exists(path):
        raise UserError(f"{path}: there is no such folder, tar or image; check the path")
    if is_tar_name(path):
        return index_tar(path)
    if is_image_name(os.path.basename(path)):
        return Files("", PackedNames([path]))
    raise UserError(f"{path}: not a folder, a .tar or an image, by its name; give one of these")


def _folder(root: str) -> Files:
    def unreadable(error: OSError) -> None:
        raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror}); check its permissions")

    found, tars, seen = [], 0, set()
    for folder, below, files in os.walk(root, followlinks=True, onerror=unreadable):
        status = os.stat(folder)
        if (key := (status.st_dev, status.st_ino)) in seen:  # a link back to a folder above would never end
            below.clear()
            continue
        seen.add(key)
        below[:] = sorted(name for name in below if not name.startswith("."))
        relative = os.path.relpath(folder, root)
        found += [os.path.normpath(os.path.join(relative, name)) for name in files if is_image_name(name)]
        tars += sum(name.endswith(".tar") for name in files)
    if not found:
        hint = f"; its {tars} tars are sources of their own: name them" if tars else "; check the path"
        raise UserError(f"{root}: no image in this folder or below (.jpg, .png, .webp ...){hint}")
    return Files(root, PackedNames(sorted(found)))


def _existing(pattern: str) -> list[str]:
    paths = expand_braces(pattern)
    if paths == [pattern]:
        raise UserError(f"{pattern}: there is no such file, and the braces are not a range such as {{000000..000003}}")
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        count = f"{len(missing)} of its {len(paths)} files"
        raise UserError(f"{pattern}: {count} are missing, the first is {missing[0]}; correct the range or fetch them")
    return paths


def _worlds(source: str) -> Worlds:
    from clicv2lite.data.worlds import plan

    match = re.fullmatch(r"worlds:([0-9]+)(?::([0-9]+))?", source)
    if not match or int(match[1]) == 0:
        raise UserError(f"{source}: write worlds:N or worlds:N:seed, with N >= 1 images and a seed >= 0")
    seed = int(match[2] or 0)
    categories, complexity, seeds = plan(int(match[1]), seed)
    return Worlds(seed, tuple(zip(categories, complexity.tolist(), seeds.tolist(), strict=True)))
