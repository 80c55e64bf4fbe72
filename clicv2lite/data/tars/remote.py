"""Files at an address that fsspec understands (`s3://`, `gs://`, `https://` ...), read by position (book chapter 10)."""

import time
from collections.abc import Callable
from typing import Any, BinaryIO

from clicv2lite.errors import UserError
from clicv2lite.extras import extra

TRIES, PAUSE = 3, 0.5  # tries of a request; seconds of the first pause, which then doubles
BLOCK = 4 * 2**20  # bytes a sequential read fetches at once
WHOLE = "the server sends whole files only, no parts; copy the tars here first"
VERSION = ("etag", "mtime", "lastmodified", "last_modified", "last-modified", "updated", "created", "md5hash", "versionid")


def is_address(source: str) -> bool:
    """True for `s3://bucket/a.tar`; false for a local path."""
    scheme, found, _ = source.partition("://")
    return bool(found) and scheme.replace("+", "").replace("-", "").isalnum()


def version(address: str) -> tuple[int, str]:
    """Size in bytes, and what the server says to tell two contents of this address apart ("" if nothing).

    Raises:
        UserError: if there is no such file or it cannot be asked for.
    """
    system, path = _system(address)
    info = _tried(address, lambda: system.info(path))
    if info.get("type") == "directory":
        raise UserError(f"{address}: this is a folder; name the tars in it, as {address.rstrip('/')}/{{000000..000009}}.tar")
    if info.get("size") is None:
        raise UserError(f"{address}: the server does not tell its size, so it cannot be read by position; copy it here first")
    marks = sorted(f"{key}={value}" for key, value in info.items() if key.lower() in VERSION and value)
    return int(info["size"]), " ".join(marks)


def open_stream(address: str) -> BinaryIO:
    """The file, to be read from its beginning to its end, in blocks of BLOCK bytes."""
    system, path = _system(address)
    stream: BinaryIO = _tried(address, lambda: system.open(path, "rb", block_size=BLOCK))
    try:
        stream.seek(1)
        stream.seek(0)
    except ValueError:  # it says that it is seekable, and is not
        raise UserError(f"{address}: {WHOLE}") from None
    return stream


def read_range(address: str, start: int, size: int) -> bytes:
    """Bytes start .. start + size - 1; fewer where the file ends before.

    Raises:
        UserError: if they do not come in TRIES requests. This ends a training: if another image were taken instead, as for
            an image that cannot be decoded, a run would depend on the network.
    """
    if size == 0:
        return b""
    system, path = _system(address)
    data: bytes = _tried(address, lambda: system.cat_file(path, start=start, end=start + size))
    if len(data) > size:
        raise UserError(f"{address}: {WHOLE}")
    return data


def _system(address: str) -> tuple[Any, str]:
    with extra("remote", address):
        from fsspec.core import url_to_fs
    try:
        system, path = url_to_fs(address)  # fsspec keeps one per process: nothing is shared over a fork or by pickle
    except ImportError as error:  # fsspec names the package: "Install s3fs to access S3"
        raise UserError(f"{address}: {str(error).strip().splitlines()[0]} (pip install ...)") from None
    except ValueError as error:
        raise UserError(f"{address}: not an address that can be read ({error}); check what stands before ://") from None
    return system, path


def _tried(address: str, request: Callable[[], Any]) -> Any:
    for attempt in range(TRIES):
        try:
            return request()
        except FileNotFoundError:
            raise UserError(f"{address}: there is no such file; check the address") from None
        except PermissionError:
            raise UserError(f"{address}: access is denied; check your credentials") from None
        except Exception as error:  # each file system has its own
            reason = " ".join(str(error).split()) or type(error).__name__
            if attempt + 1 == TRIES:
                break
            time.sleep(PAUSE * 2**attempt)
    raise UserError(f"{address}: cannot be read after {TRIES} tries ({reason}); check the address and the network")
