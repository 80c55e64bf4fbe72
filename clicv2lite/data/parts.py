"""What a source contributes to a set of images: files, photographs in the wheels, procedural worlds; or `tars.index`."""

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from clicv2lite.data.names import PackedNames
from clicv2lite.data.regular import read_encoded
from clicv2lite.errors import UserError


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
        return read_encoded(self.name(i))


@dataclass(frozen=True, eq=False)
class Embedded:
    """The photographs that installed packages carry."""

    files: tuple[tuple[str, Path], ...]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, i: int) -> str:
        return f"embedded/{self.files[i][0]}"

    def read(self, i: int) -> bytes:
        return read_encoded(self.files[i][1])


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


def worlds_of(source: str) -> Worlds:
    """The worlds that `worlds:N` or `worlds:N:seed` names; UserError for anything else."""
    from clicv2lite.data.worlds import plan

    match = re.fullmatch(r"worlds:([0-9]{1,9})(?::([0-9]{1,18}))?", source)
    if not match or int(match[1]) == 0:
        raise UserError(f"{source}: write worlds:N or worlds:N:seed, with 1 to 999,999,999 images and a seed of 1 to 18 digits")
    seed = int(match[2] or 0)
    categories, complexity, seeds = plan(int(match[1]), seed)
    return Worlds(seed, tuple(zip(categories, complexity.tolist(), seeds.tolist(), strict=True)))
