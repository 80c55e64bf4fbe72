import heapq
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.data.ic1m import sample
from clicv2lite.data.ic1m.metadata import choose_url, find_columns, find_files
from clicv2lite.data.ic1m.sample import draw, numbers
from clicv2lite.errors import UserError

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra ic1m)")
pq = pytest.importorskip("pyarrow.parquet")

MASK = 2**64 - 1


def splitmix_of_one(identity: str, seed: int) -> int:
    """`numbers` for one id, in Python's integers."""
    from hashlib import blake2b

    def bits(text: str) -> int:
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")

    decimal = identity.isascii() and identity.isdigit() and len(identity) <= 18 and (identity == "0" or identity[0] != "0")
    x = ((int(identity) if decimal else bits(identity)) ^ bits(str(seed))) + 0x9E3779B97F4A7C15 & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


IDS = st.one_of(st.integers(0, 10**18 - 1).map(str), st.text(max_size=20), st.just("007"))


@given(st.lists(IDS, max_size=20), st.integers())
def test_numbers_are_those_of_an_integer_by_integer_computation(ids, seed):
    ids = [text for text in ids if text.isprintable()]
    got = numbers(pa.array(ids, pa.string()), seed)
    assert got.dtype == np.uint64 and got.tolist() == [splitmix_of_one(text, seed) for text in ids]


def test_integer_ids_draw_the_same_numbers_as_their_text():
    ids = [0, 7, 53_000_000_001, 10**18 - 1]
    assert numbers(pa.array(ids), 3).tolist() == numbers(pa.array(map(str, ids)), 3).tolist()


def table(ids, **more) -> "pa.Table":
    ids = list(ids)
    columns = {"id": [str(i) for i in ids], "url_m": [f"http://x/{i}.jpg" for i in ids], "license": [i % 5 for i in ids]}
    return pa.table({**columns, **more})


def write(folder: Path, tables: list["pa.Table"], row_group: int = 1000) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for k, part in enumerate(tables):
        pq.write_table(part, folder / f"part-{k:05d}.parquet", row_group_size=row_group)
    return find_files([str(folder)])


def ids_of(drawn: "pa.Table") -> list[str]:
    return drawn["id"].to_pylist()


def test_the_draw_is_the_smallest_numbers_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "BATCH", 64)
    files = write(tmp_path / "a", [table(range(700)), table(range(700, 1000))])
    got = draw(files, tmp_path / "part", 50, 4, 256)
    assert ids_of(got) == heapq.nsmallest(50, map(str, range(1000)), key=lambda i: splitmix_of_one(i, 4))
    assert got.column_names == ["id", "url", "licence", "owner"]
    assert got["url"].to_pylist() == [f"http://x/{i}.jpg" for i in ids_of(got)]
    assert got["licence"].to_pylist() == [str(int(i) % 5) for i in ids_of(got)]


@given(st.integers(1, 300), st.integers(1, 120), st.integers(0, 9), st.randoms(use_true_random=False))
def test_files_row_groups_order_and_batches_do_not_matter(tmp_path_factory, row_group, batch, seed, chance):
    root, order = tmp_path_factory.mktemp("draw"), list(range(300))
    want = draw(write(root / "whole", [table(order)]), root / "p1", 40, seed, 256)
    chance.shuffle(order)
    cuts = sorted(chance.sample(range(1, 300), 2))
    parts = [table(order[a:b]) for a, b in itertools.pairwise([0, *cuts, 300])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "BATCH", batch)
        assert draw(write(root / "parts", parts, row_group), root / "p2", 40, seed, 256).equals(want)


def test_another_seed_draws_others_and_each_photo_is_drawn_equally_often(tmp_path):
    files = write(tmp_path / "a", [table(range(200))])
    drawn = [set(ids_of(draw(files, tmp_path / "p", 50, seed, 256))) for seed in range(200)]
    assert len({frozenset(s) for s in drawn}) == 200
    counts = np.array([sum(str(i) in s for s in drawn) for i in range(200)])  # binomial(200, 1/4): 50 +- 6.1
    assert counts.sum() == 200 * 50 and abs(counts - 50).max() < 5 * 6.1 and 4 < counts.std() < 8


def test_a_photo_that_is_listed_twice_is_drawn_once(tmp_path):
    twice = table([*range(30), *range(30)], url_m=[f"http://{'b' if k < 30 else 'a'}/{k % 30}" for k in range(60)])
    got = draw(write(tmp_path / "a", [twice, twice]), tmp_path / "p", 30, 0, 256)
    assert sorted(ids_of(got), key=int) == [str(i) for i in range(30)]
    assert all(url.startswith("http://a/") for url in got["url"].to_pylist())


def test_rows_without_an_address_or_an_id_are_not_drawn_and_a_small_table_is_drawn_whole(tmp_path):
    rows = table(range(6), url_m=["http://x/0", None, "", "http://x/3", "http://x/4", "http://x/5"])
    rows = rows.set_column(0, "id", pa.array(["0", "1", "2", None, "4", "5"]))
    got = draw(write(tmp_path / "a", [rows]), tmp_path / "p", 100, 0, 256)
    assert sorted(ids_of(got)) == ["0", "4", "5"]


def test_what_is_no_address_of_the_web_is_not_drawn(tmp_path):
    urls = ["file:///etc/passwd", "/home/me/a.jpg", "a.jpg", "ftp://x/a", "data:image/png;base64,AA", "HTTPS://x/5.jpg"]
    got = draw(write(tmp_path / "a", [table(range(6), url_m=urls)]), tmp_path / "p", 100, 0, 256)
    assert got["url"].to_pylist() == ["HTTPS://x/5.jpg"]
    hashes = table(range(2), url_m=[b"\x00" * 32, b"http://x/"])
    with pytest.raises(UserError, match="--metadata: of 2 rows none has an address of http or https"):
        draw(write(tmp_path / "b", [hashes]), tmp_path / "p2", 100, 0, 256)


def test_only_the_licences_asked_for(tmp_path):
    files = write(tmp_path / "a", [table(range(100))])
    got = draw(files, tmp_path / "p", 100, 0, 256, ("4", "2"))
    assert set(got["licence"].to_pylist()) == {"2", "4"} and len(got) == 40
    with pytest.raises(UserError, match=r"of 100 rows none is under licence 9; there are 0 \(all rights reserved\), 1 \(CC"):
        draw(files, tmp_path / "p2", 100, 0, 256, ("9",))
    bare = write(tmp_path / "b", [table(range(3)).drop_columns(["license"])])
    with pytest.raises(UserError, match="--licence needs a column license; the columns are id, url_m"):
        draw(bare, tmp_path / "p3", 3, 0, 256, ("4",))
    assert len(draw(bare, tmp_path / "p3", 3, 0, 256)) == 3


def test_a_killed_draw_reads_no_finished_file_again(tmp_path, monkeypatch):
    files = write(tmp_path / "a", [table(range(k * 100, k * 100 + 100)) for k in range(5)])
    want = draw(files, tmp_path / "p0", 60, 1, 256)
    monkeypatch.setattr(sample, "SAVE_EVERY", -1)
    read, batches = [], sample._batches

    def watched(opened, columns, path):
        read.append(path.name)
        if len(read) == 4:
            raise KeyboardInterrupt
        yield from batches(opened, columns, path)

    monkeypatch.setattr(sample, "_batches", watched)
    with pytest.raises(KeyboardInterrupt):
        draw(files, tmp_path / "p", 60, 1, 256)
    assert draw(files, tmp_path / "p", 60, 1, 256).equals(want)
    assert read == [f"part-{k:05d}.parquet" for k in (0, 1, 2, 3, 3, 4)]


def test_the_smallest_size_that_is_large_enough_is_fetched(tmp_path):
    sizes = ("sq", "t", "s", "q", "m", "n", "z", "c", "l", "o")
    names = ["id", *(f"{kind}_{size}" for size in sizes for kind in ("url", "width", "height"))]
    columns = find_columns(names, 256, Path("x"))
    assert [size.url for size in columns.sizes] == ["url_n", "url_m", "url_z", "url_c"]
    sides = {"n": (320, 213), "m": (500, 333), "z": (640, 427), "c": (800, 533)}

    def row(**change) -> dict[str, object]:
        found = dict.fromkeys(names)
        for size, (width, height) in (sides | change).items():
            found |= {f"url_{size}": f"http://x/{size}", f"width_{size}": width, f"height_{size}": height}
        return found

    def chosen(of: dict[str, object], side: int = 256) -> str | None:
        url = choose_url(of, columns, side)
        return url and url.removeprefix("http://x/")

    assert chosen(row()) == "m"
    assert chosen(row(n=(320, 320))) == "n"
    assert chosen({**row(), "url_m": None}) == "z"
    wide = row(n=(320, 40), m=(500, 60), z=(640, 80), c=(800, 100))  # a panorama: the largest there is
    assert chosen(wide) == "c" and chosen({**wide, "url_c": ""}) == "z"
    unsized = {**row(), **{f"{kind}_{size}": None for size in sides for kind in ("width", "height")}}
    assert chosen(unsized) == "m" and chosen(unsized, 400) == "z"
    words = {**row(), "width_m": "500", "height_m": "333", "width_n": "n/a"}  # a table of texts
    assert chosen(words) == "m" and chosen({**words, "width_m": "many", "height_m": None}) == "m"
    assert choose_url(dict.fromkeys(names), columns, 256) is None


def test_columns_are_found_under_other_names_and_missing_ones_are_an_error_that_lists_them():
    found = find_columns(["Photo_ID", "URL", "licence", "nsid"], 256, Path("x"))
    assert (found.id, found.sizes[0].url, found.licence, found.owner) == ("Photo_ID", "URL", "licence", "nsid")
    with pytest.raises(UserError, match=r"t\.parquet: no column id; its columns are a, url_m"):
        find_columns(["a", "url_m"], 256, Path("t.parquet"))
    with pytest.raises(UserError, match=r"no column url_m or another size of 256 pixels or more; its columns are id, url_sq"):
        find_columns(["id", "url_sq"], 256, Path("t.parquet"))


def test_hidden_parts_count_below_the_named_folder_only(tmp_path, monkeypatch):
    shown = tmp_path / ".cache" / "tables" / "a.parquet"
    for path in (shown, shown.parent / ".hidden" / "b.parquet", shown.parent / "spark.parquet" / "part-0"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert find_files([str(shown.parent)]) == [shown]
    monkeypatch.chdir(shown.parent)
    assert find_files(["../tables"]) == [Path("../tables/a.parquet")]


def test_missing_empty_and_damaged_tables_are_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        find_files([str(tmp_path / "none")])
    with pytest.raises(UserError, match=r"no \.parquet file in this folder"):
        find_files([str(tmp_path)])
    path = write(tmp_path / "a", [table(range(5000), noise=[random.random() for _ in range(5000)])])[0]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"part-00000\.parquet: not a parquet file, or a damaged one"):
        draw([path], tmp_path / "p", 5, 0, 256)
    path.write_bytes(data[:100] + bytes(2000) + data[2100:])
    with pytest.raises(UserError, match=r"part-00000\.parquet: damaged") as caught:
        draw([path], tmp_path / "p", 5, 0, 256)
    assert "\n" not in str(caught.value)
