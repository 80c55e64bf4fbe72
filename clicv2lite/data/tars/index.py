"""Images inside a plain tar (WebDataset's shards): indexed once, then read by position like files of their own."""

import os
import tarfile
import threading
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from clicv2lite.data.folders import passed_over
from clicv2lite.data.formats import is_unread
from clicv2lite.data.names import PackedNames, ending, is_hidden, is_image_name
from clicv2lite.data.regular import ImageError, NotRegular, check_size, open_regular
from clicv2lite.data.tars import remote
from clicv2lite.data.tars.kept import TarIndex, keep, load, settled
from clicv2lite.errors import UserError, one_line

COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\x00": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
OPEN_TARS = 64  # descriptors a process holds at most
EXTENDED = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
LONGEST = 2**20  # bytes of a header that holds a name, which are read whole


@dataclass(frozen=True, eq=False)
class TarImages:
    """The images of one tar, in the archive's order. Holds no open file: workers share it by fork or by pickle."""

    path: str  # or an address: s3://bucket/shard.tar
    index: TarIndex
    mark: str  # of the content that was indexed; another file at this path has another mark

    def __len__(self) -> int:
        return len(self.index.names)

    def name(self, i: int) -> str:
        """`shard.tar/key.jpg`."""
        return f"{self.path}/{self.index.names[i]}"

    def read(self, i: int) -> bytes:
        """The encoded bytes of image i: one positional read, independent of earlier reads.

        Raises:
            ImageError: if the tar has become unreadable or shorter since it was indexed.
            UserError: if it lies elsewhere and cannot be reached, or has changed since it was indexed and is not open yet.
        """
        start, size = int(self.index.starts[i]), int(self.index.sizes[i])
        check_size(size, one_line(self.name(i)))
        if remote.is_address(self.path):
            data = remote.read_range(self.path, start, size)
        else:
            try:
                data = _open(self.path, self.mark).read(start, size)
            except OSError as error:
                reason = error.strerror or error
                raise ImageError(f"{self.name(i)}: the tar cannot be read ({reason}); is it gone?") from None
        if len(data) < size:
            raise ImageError(f"{self.name(i)}: the tar has become shorter since it was indexed; make it whole again")
        return data


class _Descriptor:
    """An open tar, closed when neither the cache nor a reading thread holds it."""

    def __init__(self, path: str, mark: str) -> None:
        self._number, self._alone = -1, threading.Lock()
        with open_regular(path) as file:  # and not a pipe that has taken the tar's place
            written = os.fstat(file.fileno()).st_mtime_ns  # not the inode: some network file systems number anew
            if str(written) != mark.partition(" ")[0]:
                raise UserError(f"{path}: has changed since it was indexed; run the command again")
            self._number = os.dup(file.fileno())

    def read(self, start: int, size: int) -> bytes:
        parts = []
        while size and (part := self._part(start, size)):
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return b"".join(parts)

    def _part(self, start: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._number, size, start)  # no shared position: threads and forks may overlap
        with self._alone:  # Windows, where no process is a fork
            os.lseek(self._number, start, os.SEEK_SET)
            return os.read(self._number, size)

    def __del__(self) -> None:
        if self._number >= 0:
            os.close(self._number)


@lru_cache(maxsize=OPEN_TARS)
def _open(path: str, mark: str) -> _Descriptor:
    return _Descriptor(path, mark)


def index_tar(path: str | Path) -> TarImages:
    """Find the images of a tar: from the index kept of it, else from its headers (about 30 microseconds a member).

    Args:
        path: an uncompressed tar, or its address; members that are not images (labels, hidden files, links) are skipped.

    Raises:
        UserError: if the tar is unreadable, compressed, damaged, truncated, or holds no image.
    """
    path = str(path)
    elsewhere = remote.is_address(path)
    try:
        if elsewhere:
            address = path
            size, mark = remote.version(path)
            kept = bool(mark)
        else:
            address, status = os.path.abspath(path), os.stat(path)
            size, mark = status.st_size, f"{status.st_mtime_ns} {status.st_ino}"
            kept = settled(status.st_mtime)
        if kept and (known := load(address, size, mark)):
            return TarImages(path, known, mark)
        with remote.open_stream(path) if elsewhere else open_regular(path) as file:
            index = _scan(path, file)
    except NotRegular as error:
        raise UserError(f"{path}: {error.strerror}; give a tar") from None
    except (PermissionError, IsADirectoryError, FileNotFoundError) as error:
        raise UserError(f"{path}: the tar cannot be opened ({error.strerror}); check its permissions") from None
    except UserError:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(f"{path}: a damaged or truncated tar, or none at all ({error}); fetch it again") from None
    except Exception as error:  # each file system has its own, and tarfile has many for a damaged header
        if not elsewhere:
            raise UserError(f"{path}: a damaged tar ({error!s}); fetch it again") from None
        raise UserError(f"{path}: the connection broke while its headers were read ({error}); start again") from None
    if kept:
        keep(address, size, mark, index)
    return TarImages(path, index, mark)


def _scan(path: str, file: BinaryIO) -> TarIndex:
    head = file.read(6)
    for magic, tool in COMPRESSED.items():
        if head.startswith(magic):
            raise UserError(f"{path}: a compressed tar cannot be read by position; unpack it with {tool} first")
    file.seek(0)
    found: list[tuple[str, int, int]] = []
    passed: Counter[str] = Counter()
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as archive:
        for member in archive:
            if member.size < 0:  # a second header may say so, and the search would go back and never end
                raise UserError(f"{path}: a damaged tar ({member.name} has a size below 0); fetch it again")
            if not member.isreg() or member.sparse is not None or is_hidden(member.name):
                continue
            if is_image_name(member.name):
                found.append((member.name, member.offset_data, member.size))
            elif is_unread(kind := ending(member.name)):
                passed[kind] += 1
        # tarfile takes a damaged or missing header for the end of the archive: the real end is a block of zeros.
        end = archive.offset
    file.seek(end)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise UserError(f"{path}: a truncated tar (no end mark after byte {end}); fetch it again")
    if any(block):
        raise UserError(f"{path}: a damaged tar (no valid header at byte {end}); fetch it again")
    if not found:
        hint = "its members should be named like key.jpg or key.png"
        hint = passed_over("", passed).removeprefix(": ") or hint
        raise UserError(f"{path}: no image in this tar; {hint}")
    names, starts, sizes = zip(*found, strict=True)
    return TarIndex(PackedNames(names), np.array(starts, np.int64), np.array(sizes, np.int64), passed)


class _Member(tarfile.TarInfo):
    """A header that neither sends the search back nor has a whole disk read as a long name."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As `TarInfo.frombuf`; HeaderError for such a header too."""
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in EXTENDED and header.size > LONGEST):
            raise tarfile.InvalidHeaderError(f"size {header.size}")  # type: ignore[attr-defined]
        return header
