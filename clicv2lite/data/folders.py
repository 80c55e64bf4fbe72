"""The images in a folder and below: by their endings, and by their first bytes where a name says nothing (book chapter 12)."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from clicv2lite.data.formats import HEAD, NOT_IMAGES, PLUGIN_OF, PLUGINS, RAW, has_decoder, image_format, is_unread, other
from clicv2lite.data.names import ending, is_hidden, is_image_name
from clicv2lite.data.regular import open_regular
from clicv2lite.errors import one_line


@dataclass
class Listing:
    """What is in a folder."""

    images: list[str] = field(default_factory=list)  # paths from the folder, sorted within each folder below
    passed: Counter[str] = field(default_factory=Counter)  # what images there are that are not read, see `kind_passed`
    tars: int = 0
    errors: list[OSError] = field(default_factory=list)  # of folders that cannot be listed


def list_folder(root: str, follow: bool) -> Listing:
    """Look through a folder and all below; hidden files and folders are left out.

    Args:
        follow: go into links to folders too, into each real folder once.
    """
    found = Listing()
    for folder, files in _walk(root, follow, found.errors.append, set()):
        relative = os.path.relpath(folder, root)
        for name in files:
            path = os.path.join(folder, name)
            if holds_image(path):
                found.images.append(os.path.normpath(os.path.join(relative, name)))
            elif kind := kind_passed(path):
                found.passed[kind] += 1
            found.tars += name.lower().endswith(".tar")
    return found


def holds_image(path: str) -> bool:
    """Whether a file is taken for an image: its name ends as one, or says nothing and its first bytes are those of one."""
    name = os.path.basename(path)
    if is_hidden(name) or is_image_name(name):
        return not is_hidden(name)
    if (end := ending(name)) in NOT_IMAGES or end in RAW:
        return False
    _, kind = _look(path)
    return kind is not None and has_decoder(kind)


def kind_passed(path: str) -> str:
    """For a file of which `holds_image` is false: how to count it, if it may be an image all the same; else ""."""
    end = ending(path)
    if is_unread(end):
        return end
    if end in NOT_IMAGES or is_hidden(os.path.basename(path)):
        return ""
    head, kind = _look(path)
    if what := other(head, images=True) or kind:
        advice = f" (pip install {PLUGINS[what].package})" if what in PLUGINS else ""
        return f"{f'named {end}' if end else 'without an ending'} that holds {what}{advice}"
    return ""


def passed_over(where: str, passed: Counter[str]) -> str:
    """One line on files that were passed over, counted by kind; "" if there are none."""
    if not passed:
        return ""
    advice = {kind: f" (pip install {PLUGIN_OF[kind]})" for kind in passed if kind in PLUGIN_OF}
    kinds = ", ".join(f"{count} {one_line(kind)}{advice.get(kind, '')}" for kind, count in passed.most_common())
    files = "1 file that may be an image is" if (n := passed.total()) == 1 else f"{n} files that may be images are"
    return f"{one_line(where)}: {files} not read: {kinds}"


def matching(pattern: str) -> list[str]:
    """`glob.glob(pattern, recursive=True)`, sorted, but for two things.

    `**` goes into each real folder once, however links lead to it; and at the end of a pattern it finds files, not folders.
    """
    head, stars, rest = _split(pattern)
    if not stars:
        return sorted(glob.glob(pattern))
    found: dict[str, None] = {}
    seen: set[tuple[int, int]] = set()
    for top in sorted(glob.glob(head)) if head else [""]:
        for folder, files in _walk(top or os.curdir, True, lambda error: None, seen):
            here = folder if top else folder.removeprefix(os.curdir).lstrip(os.sep)
            below = matching(os.path.join(glob.escape(here), rest)) if rest else [os.path.join(here, name) for name in files]
            found |= dict.fromkeys(below)
    return sorted(found)


def _split(pattern: str) -> tuple[str, bool, str]:
    """What stands before the first part `**`, whether there is one, and what comes after it."""
    parts = pattern.split(os.sep)
    if "**" not in parts:
        return pattern, False, ""
    at = parts.index("**")
    rest = parts[at:]
    while rest and rest[0] == "**":
        rest.pop(0)
    return os.sep.join(parts[:at]) or (os.sep if at and not parts[0] else ""), True, os.sep.join(rest)


def _walk(
    root: str, follow: bool, failed: Callable[[OSError], object], seen: set[tuple[int, int]]
) -> Iterator[tuple[str, list[str]]]:
    """Each folder with its files, sorted; each real folder once, and not if `seen` has its device and number."""
    for folder, below, files in os.walk(root, followlinks=follow, onerror=failed):
        try:
            status = os.stat(folder)
        except OSError as error:  # gone in the meantime
            failed(error)
            continue
        if (key := (status.st_dev, status.st_ino)) in seen:  # a link back to a folder above would never end
            below.clear()
            continue
        seen.add(key)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield folder, sorted(name for name in files if not name.startswith("."))


def _look(path: str) -> tuple[bytes, str | None]:
    """The first bytes of a file and its format, as `image_format`; none of a file that cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(HEAD), image_format(file, path)
    except (OSError, ValueError):
        return b"", None
