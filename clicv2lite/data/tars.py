"""Images inside a plain tar (WebDataset's shards): indexed once, then read by position like files of their own."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.images import ImageError
from clicv2lite.data.names import PackedNames, is_image_name
from clicv2lite.errors import UserError

COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\x00": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}


@dataclass(frozen=True, eq=False)
class TarImages:
    """The images of one tar, in the archive's order. Holds no open file: workers share it by fork or by pickle."""

    path: str
    members: PackedNames
    offsets: NDArray[np.int64]  # (n,) where each member's bytes begin
    sizes: NDArray[np.int64]  # (n,) how many there are

    def __len__(self) -> int:
        return len(self.members)

    def name(self, i: int) -> str:
        """`shard.tar/key.jpg`."""
        return f"{self.path}/{self.members[i]}"

    def read(self, i: int) -> bytes:
        """The encoded bytes of image i: one seek and one read, whatever was read before.

        Raises:
            ImageError: if the tar has become unreadable or shorter since it was indexed.
        """
        size = int(self.sizes[i])
        try:
            with open(self.path, "rb") as file:
                file.seek(int(self.offsets[i]))
                data = file.read(size)
        except OSError as error:
            reason = error.strerror or error
            raise ImageError(f"{self.name(i)}: the tar cannot be read ({reason}); is it gone?") from None
        if len(data) < size:
            raise ImageError(f"{self.name(i)}: the tar has become shorter since it was indexed; make it whole again")
        return data


def index_tar(path: str | Path) -> TarImages:
    """Read the headers of a tar, not its contents (about 30 microseconds a member).

    Args:
        path: an uncompressed tar; members that are not images (labels, hidden files, links) are passed over.

    Raises:
        UserError: if the tar is unreadable, compressed, damaged, truncated, or holds no image.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(6)
        for magic, tool in COMPRESSED.items():
            if head.startswith(magic):
                raise UserError(f"{path}: a compressed tar cannot be read by position; unpack it with {tool} first")
        with tarfile.open(path, "r:") as archive:
            found = [
                (member.name, member.offset_data, member.size)
                for member in archive
                if member.isreg() and member.sparse is None and is_image_name(member.name)
            ]
            # tarfile takes a damaged or missing header for the end of the archive: the real end is a block of zeros.
            end = archive.offset
        with open(path, "rb") as file:
            file.seek(end)
            block = file.read(tarfile.BLOCKSIZE)
    except (PermissionError, IsADirectoryError, FileNotFoundError) as error:
        raise UserError(f"{path}: the tar cannot be opened ({error.strerror}); check its permissions") from None
    except UserError:
        raise
    except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(f"{path}: a damaged or truncated tar, or none at all ({error}); fetch it again") from None
    if len(block) < tarfile.BLOCKSIZE:
        raise UserError(f"{path}: a truncated tar (no end mark after byte {end}); fetch it again")
    if any(block):
        raise UserError(f"{path}: a damaged tar (no valid header at byte {end}); fetch it again")
    if not found:
        raise UserError(f"{path}: no image in this tar; its members should be named like key.jpg or key.png")
    names, offsets, sizes = zip(*found, strict=True)
    return TarImages(str(path), PackedNames(names), np.array(offsets, np.int64), np.array(sizes, np.int64))
