"""ImageNet's layout on the disk, train/CLASS/*.JPEG and val/CLASS/*.JPEG, read as by torchvision's ImageFolder (chapter 9)."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clicv2lite.arrays import Rows
from clicv2lite.data.identity import size_of
from clicv2lite.data.names import PackedNames
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError, one_line

PARTS = ("train", "val")
ASKED = 256  # sizes of files that the listing of a part asks for, about


@dataclass(frozen=True)
class ClassFolder:
    """The images of `train` or of `val`, sorted by path."""

    root: Path
    names: PackedNames  # (n,) CLASS/IMAGE, below the root
    labels: Rows  # (n,) positions in the classes of `train`

    def __len__(self) -> int:
        return len(self.labels)

    def paths(self, rows: slice) -> list[Path]:
        """The files of some of the images."""
        return [self.root / self.names[i] for i in range(*rows.indices(len(self)))]


@dataclass(frozen=True)
class ClassFolders:
    """Images with classes to fit on and to test on."""

    classes: tuple[str, ...]  # the folders of `train`, sorted; a label is a position in it
    train: ClassFolder
    val: ClassFolder

    def listing(self) -> str:
        """Hexadecimal SHA-256 of the names of all images, and of the sizes of some hundred of them, spread over each part.

        Another data set may have the same names; all sizes or dates of a million files would take minutes to ask for. Where one
        of the few is repaired, all are encoded again; of the others, that one alone.
        """
        found = hashlib.sha256()
        for part in (self.train, self.val):
            for i in range(len(part)):
                found.update(os.fsencode(part.names[i]) + b"\0")
            for i in range(0, len(part), max(1, len(part) // ASKED)):
                found.update(b"%d\0" % size_of(part.root / part.names[i]))
            found.update(b"\0")
        return found.hexdigest()


def class_folders(root: Path) -> ClassFolders:
    """List root/train and root/val: images of any depth below a class's folder; hidden ones and files beside the folders
    are left out.

    Raises:
        UserError: if a folder is missing, not arranged by classes, or unreadable; if a class has no image, or only `val`
            has it; if there are fewer than two classes.
    """
    names = {part: _names(root, part) for part in PARTS}
    classes = {part: sorted({name.partition("/")[0] for name in names[part]}) for part in PARTS}
    known = classes["train"]
    if unknown := sorted(set(classes["val"]) - set(known)):
        some = one_line(", ".join(unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        raise UserError(f"--imagenet {root}: {len(unknown)} classes of val are not in train ({some}); give both the same")
    if len(known) < 2:
        raise UserError(f"--imagenet {root}: train has one class, {one_line(known[0])}; a classifier needs two or more")
    place = {name: i for i, name in enumerate(known)}
    train, val = (
        ClassFolder(root / part, PackedNames(names[part]), np.array([place[n.partition("/")[0]] for n in names[part]]))
        for part in PARTS
    )
    return ClassFolders(tuple(known), train, val)


def _names(root: Path, part: str) -> list[str]:
    folder = root / part
    if not folder.is_dir():
        raise UserError(f"--imagenet {root}: there is no folder {part} in it; give the folder of train/CLASS/ and val/CLASS/")
    below = len(os.path.join(folder, ""))
    found = [name[below:].replace(os.sep, "/") for name in open_images([str(folder)]).names]
    arranged = [name for name in found if "/" in name]
    if not arranged:
        how = "move each into the folder of its class, val/CLASS/, as the ground truth of ImageNet's devkit names it"
        raise UserError(f"--imagenet {root}: the {len(found)} images of {part} lie flat; {how.replace('val/', part + '/')}")
    if empty := sorted(set(_folders(folder)) - {name.partition("/")[0] for name in arranged}):
        raise UserError(
            f"{one_line(str(folder / empty[0]))}: a class without images, one of {len(empty)}; fill or remove these folders"
        )
    return arranged


def _folders(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        yield from (entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
