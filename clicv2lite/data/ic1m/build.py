"""IC1M from beginning to end: draw, download, pack, verify, manifest. Each stage leaves a file, and is not done twice.

The folder then holds `asked.json`, the options of the build (other options need another folder); `sample.parquet`, the photos
that were drawn; `download/`, img2dataset's rounds with the bytes as they came, which can be removed once there is a manifest;
`shards/`, tars of small JPEGs; and `manifest.csv`, the set.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clicv2lite.data.ic1m.manifest import Photo, read_manifest, write_manifest
from clicv2lite.data.ic1m.metadata import find_files
from clicv2lite.data.ic1m.rounds import STATUS, Downloader, Pace, State, fetch
from clicv2lite.data.ic1m.sample import draw
from clicv2lite.data.images import ImageError
from clicv2lite.data.names import PackedNames
from clicv2lite.data.packing.form import Form
from clicv2lite.data.packing.pack import pack, shard_pattern, written
from clicv2lite.data.packing.shards import read_rows
from clicv2lite.data.tars.index import TarImages, index_tar
from clicv2lite.errors import UserError, check_counts
from clicv2lite.extras import extra
from clicv2lite.files import atomic, digest, make_folder, write_json
from clicv2lite.outputs import locked

with extra("ic1m", "data ic1m"):
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Draw:
    """Which photos."""

    count: int = 1_500_000  # as in the paper
    seed: int = 0
    licences: tuple[str, ...] = ()  # Flickr's numbers; none: any


@dataclass(frozen=True)
class Built:
    """What a build made."""

    manifest: Path
    sha256: str  # of the manifest
    photos: list[Photo]
    pattern: str  # of the tars, for `open_images`


def build(
    metadata: Sequence[str], out: Path, which: Draw, form: Form, pace: Pace, download: Downloader, jobs: int = 1
) -> Built:
    """Draw photos from parquet tables and make the set.

    Raises:
        UserError: for a mistake in the tables or options, an unreachable network, a full disk.
    """
    check_counts(count=which.count)
    files = find_files(metadata)
    asked = {"files": [[path.name, path.stat().st_size] for path in files], **asdict(which), **asdict(form)}

    def made() -> list[Photo]:
        table = _drawn(files, out, which, form.side)
        photos = [Photo(**row) for row in table.to_pylist()]
        came = _download(table, out, pace, download)
        first: dict[str, int] = {}
        for i, photo in enumerate(photos):
            if i not in came.files:
                photos[i] = replace(photo, status=STATUS[came.status[i]], error=came.error[i])
            elif (k := first.setdefault(came.files[i].sha256, i)) != i:  # "photo unavailable", as a picture, above all
                photos[i] = replace(photo, status="duplicate", error=f"the bytes of photo {photos[k].id}")
        photos = _packed(photos, [i for i, photo in enumerate(photos) if not photo.status], came, out, form, jobs)
        for i, photo in enumerate(photos):
            if photo.status == "duplicate" and (one := photos[first[came.files[i].sha256]]).status != "ok":
                photos[i] = replace(photo, status=one.status, error=one.error)  # the same web page, instead of many photos
        return photos

    return _once(out, asked, made)


def rebuild(manifest: Path, out: Path, form: Form, pace: Pace, download: Downloader, jobs: int = 1) -> Built:
    """Make the set of a manifest again; an image that has changed or is gone is left out, and its status says so.

    The shards hold the other images as before; with the form of the first build their bytes are the same too.

    Returns:
        Photos of status `ok` have the same bytes as before. Another photo that was `ok` is now `changed`, or has the status
        that its download gave.

    Raises:
        UserError: as `build`, and if no image can be downloaded as it was.
    """
    photos = read_manifest(manifest)
    wanted = [i for i, photo in enumerate(photos) if photo.status == "ok"]
    at = {int(photos[i].key): i for i in wanted}
    if len(at) < len(wanted) or max(at) >= len(photos):
        raise UserError(f"--manifest {manifest}: a key is there twice, or is too large; give the manifest.csv of a build")
    slots = [at.get(key) for key in range(max(at) + 1)]  # each photo has its old number; a photo that failed then is a gap

    def made() -> list[Photo]:
        came = _download(pa.table({"url": [photos[i].url for i in wanted]}), out, pace, download)
        same = State(came.status, came.attempts)
        for k, i in enumerate(wanted):
            if k in came.files and came.files[k].sha256 == photos[i].sha256:
                same.files[i] = came.files[k]
                status, error = "", ""
            elif k in came.files:
                status, error = "changed", f"sha256 is now {came.files[k].sha256}"
            else:
                status, error = STATUS[came.status[k]], came.error[k]
            photos[i] = Photo(photos[i].id, photos[i].url, photos[i].licence, photos[i].owner, status, error=error)
        if not same.files:
            raise UserError(f"--manifest {manifest}: none of its {len(wanted):,} images can be downloaded as it was")
        return _packed(photos, slots, same, out, form, jobs)

    return _once(out, {"manifest": digest(manifest), **asdict(form)}, made)


def _once(out: Path, asked: dict[str, Any], make: Callable[[], list[Photo]]) -> Built:
    """Write the manifest of what `make` makes, unless it is there; a folder takes one process, and one set of options."""
    make_folder(out, "--out")
    manifest = out / "manifest.csv"
    try:
        with locked(out, folder=True, lock=".lock"):
            _same_as_before(out, json.loads(json.dumps(asked)))
            if not manifest.exists():
                write_manifest(manifest, make())
    except OSError as error:
        raise written(error, out) from None
    photos = read_manifest(manifest)
    pattern = shard_pattern(sorted({int(photo.shard.partition(".")[0]) for photo in photos if photo.shard}))
    return Built(manifest, digest(manifest), photos, str(out / "shards" / pattern))


def _same_as_before(out: Path, asked: dict[str, Any]) -> None:
    file = out / "asked.json"
    if not file.exists():
        if any(path.name != ".lock" for path in out.iterdir()):
            raise UserError(f"{out}: the folder is not empty; choose another with --out")
        write_json(file, asked)
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise UserError(f"{file}: unreadable; remove the folder {out} and run the command again") from None
    if before != asked:
        other = next((key for key in asked if before.get(key) != asked[key]), "options")
        raise UserError(f"{out}: it was begun with other {other}; choose another folder with --out, or remove it")


def _drawn(files: Sequence[Path], out: Path, which: Draw, side: int) -> pa.Table:
    file, begun = out / "sample.parquet", out / ".sample.parquet"
    if not file.exists():
        table = draw(files, begun, which.count, which.seed, side, which.licences)
        with atomic(file) as temporary:
            pq.write_table(table, temporary)
        begun.unlink(missing_ok=True)
    return pq.read_table(file)


def _download(table: pa.Table, out: Path, pace: Pace, download: Downloader) -> State:
    """The rounds. Once they are over, a later run adds none, whatever its `pace`: the packer has seen their result."""
    over = out / "download" / "over.json"
    state = fetch(table, out / "download", replace(pace, attempts=0) if over.exists() else pace, download)
    if not state.files:
        raise UserError(f"{out}: no image came ({state.error[0]}); see {out / 'download'}")
    write_json(over, {"images": len(state.files), "of": len(table)})
    return state


def _packed(photos: list[Photo], slots: Sequence[int | None], came: State, out: Path, form: Form, jobs: int) -> list[Photo]:
    """Pack the photos of `slots`, in that order, and set the status of each in `photos`."""
    packed = pack(find_downloads(photos, slots, came), out / "shards", form, jobs)
    for i, row in zip(slots, read_rows(packed.manifest), strict=True):
        if i is None:
            continue
        photo = photos[i]
        if row.status == "ok":
            source = {"sha256": row.source_sha256, "bytes": row.source_bytes}
            source |= {"width": row.source_width, "height": row.source_height}
            photos[i] = replace(photo, status="ok", shard=row.shard, key=row.id, packed_sha256=row.sha256, **source)
        elif not photo.status:
            photos[i] = replace(photo, status="unusable", sha256=row.source_sha256, bytes=row.source_bytes, error=row.error)
    return photos


@dataclass(frozen=True, eq=False)
class Downloads:
    """Downloaded bytes as something to pack: in img2dataset's tars, read by position, with gaps for what did not come."""

    tars: tuple[TarImages, ...]
    tar: NDArray[np.int32]  # (n,) which, or -1 for a gap
    member: NDArray[np.int32]  # (n,) which image of it
    texts: PackedNames  # of each: photo, url, licence, owner, sha256 of the bytes, as JSON

    def __len__(self) -> int:
        return len(self.texts)

    def name(self, i: int) -> str:
        """`photo ID`."""
        return f"photo {self.about(i)['photo']}"

    def about(self, i: int) -> dict[str, str]:
        """Id, url, licence and owner of photo i."""
        about: dict[str, str] = json.loads(self.texts[i])
        return {key: about[key] for key in ("photo", "url", "licence", "owner")}

    def make(self, i: int) -> None:
        """Nothing: the photo itself is packed."""

    def read(self, i: int) -> bytes:
        """The bytes as they were downloaded.

        Raises:
            ImageError: if this is a gap, or the bytes on the disk have changed.
        """
        if self.tar[i] < 0:
            raise ImageError(f"{self.name(i)}: not downloaded")
        data = self.tars[self.tar[i]].read(int(self.member[i]))
        if hashlib.sha256(data).hexdigest() != json.loads(self.texts[i])["sha256"]:
            raise ImageError(f"{self.name(i)}: its bytes on the disk are not those that were downloaded; check the disk")
        return data


def find_downloads(photos: Sequence[Photo], slots: Sequence[int | None], came: State) -> Downloads:
    """Look up the photos of `slots` in the tars that they came in; no photo, or one that did not come, is a gap."""
    tar, member = np.full(len(slots), -1, np.int32), np.zeros(len(slots), np.int32)
    of_tar: dict[Path, list[tuple[int, str]]] = {}
    texts = []
    for k, i in enumerate(slots):
        photo, sha256 = Photo("", "") if i is None else photos[i], ""
        if i is not None and i in came.files:
            path, key, sha256 = came.files[i]
            of_tar.setdefault(path, []).append((k, key))
        about = {"photo": photo.id, "url": photo.url, "licence": photo.licence, "owner": photo.owner, "sha256": sha256}
        texts.append(json.dumps(about))
    tars = [index_tar(path) for path in of_tar]
    for t, (index, held) in enumerate(zip(tars, of_tar.values(), strict=True)):
        at = {Path(index.name(m)).stem: m for m in range(len(index))}
        for k, key in held:
            tar[k], member[k] = t, at[key]
    return Downloads(tuple(tars), tar, member, PackedNames(texts))
