"""N photos out of billions: those with the N smallest pseudo-random numbers, each a function of the seed and the id.

So the choice depends only on the seed and on the set of photos, not on their order or on their files and row groups. It needs
one pass and memory for N rows, and it can stop after any file and continue later.
"""

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from clicv2lite.data.ic1m.metadata import LICENCES, Columns, choose_url, find_columns
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.files import atomic

with extra("ic1m", "data ic1m"):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

BATCH = 65_536  # rows read at once
SAVE_EVERY = 60.0  # seconds, between files


def draw(files: Sequence[Path], out: Path, count: int, seed: int, side: int, licences: Collection[str] = ()) -> pa.Table:
    """Draw `count` photos without replacement; all of them if there are fewer.

    Args:
        files: parquet tables, see `metadata`.
        out: a file for what was found up to now, so that a killed run continues after the last finished table.
        count: of photos, 1 or more.
        seed: any integer.
        side: short side in pixels that the address should lead to.
        licences: Flickr's numbers, as text; only photos under one of them. Empty: any.

    Returns:
        Columns `id`, `url`, `licence`, `owner` (strings), in the order of their pseudo-random numbers.

    Raises:
        UserError: if a table is damaged, lacks a column, or no photo is left.
    """
    best, done = _begun(out)
    rows, seen_licences, saved = [], set[str](), time.monotonic()
    total = sum(_open(path).metadata.num_rows for path in files)
    with tqdm(total=total, unit="row", unit_scale=True, desc="sample", disable=None) as bar:
        for path in files:
            table = _open(path)
            if str(path) in done:
                bar.update(table.metadata.num_rows)
                continue
            columns = find_columns(table.schema_arrow.names, side, path)
            if licences and columns.licence is None:
                names = ", ".join(table.schema_arrow.names)
                raise UserError(f"{path}: --licence needs a column license; the columns are {names}")
            for batch in _batches(table, columns, path):
                ceiling = best["number"][-1].as_py() if len(best) == count else None
                rows += _candidates(batch, columns, seed, side, licences, seen_licences, ceiling)
                if len(rows) > max(count, BATCH):
                    best, rows = _smallest(best, rows, count), []
                bar.update(len(batch))
            done.append(str(path))
            if time.monotonic() - saved > SAVE_EVERY:
                best, rows, saved = _smallest(best, rows, count), [], time.monotonic()
                _save(out, best, done)
    best = _smallest(best, rows, count)
    if not len(best):
        seen = ", ".join(f"{key} ({LICENCES.get(key, 'unknown')})" for key in sorted(seen_licences)[:20])
        why = (
            f"none is under licence {' or '.join(licences)}; there are {seen}"
            if licences
            else "none has an address of http or https"
        )
        raise UserError(f"--metadata: of {total:,} rows {why}")
    return best.drop_columns(["number"])


def numbers(ids: pa.Array, seed: int) -> NDArray[np.uint64]:
    """(n,) uint64: a pseudo-random number for each id and this seed, uniform and the same wherever the id stands.

    Args:
        ids: (n,) strings or integers, no nulls. Flickr's ids are decimal and are computed at once; others need a hash each.
    """
    texts = ids.cast(pa.string())
    decimal = pc.match_substring_regex(texts, "^(0|[1-9][0-9]{0,17})$")
    plain = pc.cast(pc.if_else(decimal, texts, "0"), pa.int64()).to_numpy(zero_copy_only=False).astype(np.uint64)
    for i in np.flatnonzero(~decimal.to_numpy(zero_copy_only=False)):
        plain[i] = int.from_bytes(hashlib.blake2b(texts[i].as_py().encode(), digest_size=8).digest(), "big")
    start = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "big")
    return _splitmix(plain ^ np.uint64(start))


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output function (Steele, Lea and Flood 2014): every bit of the input changes half the output's."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _open(path: Path) -> Any:
    """A parquet file, of which only the footer is read; UserError if it is damaged or none."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a parquet file, or a damaged one ({reason}); fetch it again") from None


def _batches(table: Any, columns: Columns, path: Path) -> Any:
    try:
        yield from table.iter_batches(BATCH, columns=columns.names())
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged ({str(error).splitlines()[0]}); fetch it again") from None


def _candidates(
    batch: Any, columns: Columns, seed: int, side: int, licences: Collection[str], seen: set[str], ceiling: int | None
) -> list[tuple[int, str, str, str, str]]:
    batch = batch.filter(pc.is_valid(batch[columns.id]))
    order = numbers(batch[columns.id], seed)
    if ceiling is not None:  # most rows of a large table end here
        keep = np.flatnonzero(order <= np.uint64(ceiling))
        batch, order = batch.take(keep), order[keep]
    found = []
    for number, row in zip(order.tolist(), batch.to_pylist(), strict=True):
        licence = _text(row[columns.licence]) if columns.licence else ""
        if licences and licence not in licences:
            seen.add(licence)
        elif url := choose_url(row, columns, side):
            found.append((number, _text(row[columns.id]), url, licence, _text(row[columns.owner]) if columns.owner else ""))
    return found


def _text(value: object) -> str:
    return "" if value is None else str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _smallest(best: pa.Table, rows: list[tuple[int, str, str, str, str]], count: int) -> pa.Table:
    """The `count` rows of the smallest numbers, in order; of rows with one id, that of the smallest url."""
    if rows:
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), best.schema.types, strict=True)]
        best = pa.concat_tables([best, pa.table(columns, schema=best.schema)])
    best = best.sort_by([(name, "ascending") for name in ("number", "id", "url")]).combine_chunks()
    ids = best["id"].to_numpy()
    first = np.ones(len(ids), bool)
    first[1:] = ids[1:] != ids[:-1]
    return best.filter(pa.array(first)).slice(0, count)


def _begun(out: Path) -> tuple[pa.Table, list[str]]:
    if out.exists():
        table = pq.read_table(out)
        return table, json.loads(table.schema.metadata[b"done"])
    schema = pa.schema([("number", pa.uint64()), *((name, pa.string()) for name in ("id", "url", "licence", "owner"))])
    return schema.empty_table(), []


def _save(out: Path, best: pa.Table, done: list[str]) -> None:
    with atomic(out) as temporary:
        pq.write_table(best.replace_schema_metadata({"done": json.dumps(done)}), temporary)
