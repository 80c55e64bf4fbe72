import builtins
import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from clicv2lite.data.rated.savoias import CATEGORIES, KNOWN, TABLES, check_scores, read_savoias, savoias_ratings
from clicv2lite.data.rated.table import read_ratings
from clicv2lite.errors import UserError


def write_table(root: Path, category: str, cells: list) -> Path:
    path = root / TABLES / f"global_ranking_{CATEGORIES[category]}.xlsx"
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    for row, cell in enumerate(["gt", *cells], 1):
        book.active.cell(row, 1, cell)
    book.save(path)
    return path


def add_images(root: Path, category: str, *names: str) -> None:
    (root / "Images" / category).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / "Images" / category / name).touch()


def fails(root: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        savoias_ratings(root)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_row_is_id_and_scores_are_divided_by_100(tmp_path):
    write_table(tmp_path, "Art", [0, 50.5, 100])
    add_images(tmp_path, "Art", "0.jpg", "1.png", "2.JPG")
    write_table(tmp_path, "Scenes", [7] * 12)
    add_images(tmp_path, "Scenes", "10.jpg", "9.jpg")
    got = savoias_ratings(tmp_path)
    assert [str(path.relative_to(tmp_path / "Images")) for path in got.paths] == [
        *("Art/0.jpg", "Art/1.png", "Art/2.JPG"),
        *("Scenes/9.jpg", "Scenes/10.jpg"),
    ]
    assert got.scores.tolist() == [0, 0.505, 1, 0.07, 0.07]
    assert got.categories == ["Art"] * 3 + ["Scenes"] * 2 and got.splits is None


def test_absent_images_and_blank_scores_are_skipped_and_counted(tmp_path):
    write_table(tmp_path, "Objects", [10, None, 30, " ", 50, None, 70])
    add_images(tmp_path, "Objects", "0.jpg", "1.jpg", "4.jpg", "9.jpg")  # 9 is beyond the table
    got = read_savoias(tmp_path)
    assert [path.name for path in got.ratings.paths] == ["0.jpg", "4.jpg"]
    assert (got.no_image, got.no_score, got.neither) == (2, 2, 2)


def test_other_files_do_not_disturb(tmp_path):
    write_table(tmp_path, "Art", [10, 20])
    add_images(tmp_path, "Art", "0.jpg", "0.png", "1.jpg", ".DS_Store", "cover.jpg", "1.npy", "Thumbs.db")
    (tmp_path / "Images/Art/global_ranking").mkdir()
    assert [path.name for path in savoias_ratings(tmp_path).paths] == ["0.jpg", "1.jpg"]


def test_the_pickles_are_never_opened(tmp_path, monkeypatch):
    write_table(tmp_path, "Art", [10, 20])
    add_images(tmp_path, "Art", "0.jpg", "1.jpg")
    pickled = tmp_path / "Ground truth/npy/global_ranking_art.npy"
    pickled.parent.mkdir()
    pickled.write_bytes(b"\x80\x04.")
    opened, real = [], open
    for module in (builtins, io):
        monkeypatch.setattr(
            module, "open", lambda file, *more, **how: opened.append(Path(str(file))) or real(file, *more, **how)
        )
    assert len(savoias_ratings(tmp_path)) == 2 and {path.suffix for path in opened} == {".xlsx"}


@pytest.mark.parametrize("cell", [101, -1, 100.5, "many"])
def test_a_wrong_score_is_named_with_table_and_row(tmp_path, cell):
    write_table(tmp_path, "Suprematism", [10, 20, cell])
    add_images(tmp_path, "Suprematism", "0.jpg", "1.jpg")
    fails(tmp_path, "global_ranking_sup.xlsx row 4: ", "not a number in 0..100")


def test_another_column_is_not_taken_for_the_scores(tmp_path):
    path = write_table(tmp_path, "Art", [10])
    add_images(tmp_path, "Art", "0.jpg")
    book = openpyxl.load_workbook(path)
    book.active["A1"] = "old name"
    book.save(path)
    fails(tmp_path, "global_ranking_art.xlsx row 1", "gt")


def test_a_broken_or_missing_table_is_one_line(tmp_path):
    add_images(tmp_path, "Art", "0.jpg")
    fails(tmp_path, "global_ranking_art.xlsx: there is no such table")
    path = write_table(tmp_path, "Art", [10])
    path.write_bytes(path.read_bytes()[:1000])
    fails(tmp_path, "global_ranking_art.xlsx: not a readable .xlsx table")
    path.write_bytes(b"version https://git-lfs")
    fails(tmp_path, "not a readable .xlsx table")


def test_a_folder_without_savoias_says_how_to_get_it(tmp_path):
    fails(tmp_path, "no rated image of Savoias here", "clicv2lite data savoias")
    fails(tmp_path / "none", "no rated image")
    write_table(tmp_path, "Art", [10, 20])
    fails(tmp_path, "no rated image")


@pytest.mark.skipif("CLICV2LITE_DATA" not in os.environ, reason="CLICV2LITE_DATA is not set")
def test_the_development_part_gives_exactly_its_rating_table():
    root = Path(os.environ["CLICV2LITE_DATA"]) / "savoias"
    got, want = read_savoias(root), read_ratings(root / "ratings.csv")
    assert len(got.ratings) == 992 and (got.no_image, got.no_score) == (0, 0)
    assert got.ratings.paths == want.paths and got.ratings.categories == want.categories
    np.testing.assert_array_equal(got.ratings.scores, want.scores)


def test_scores_that_results_rest_on_must_be_there_and_the_same_and_others_may_come(tmp_path, monkeypatch):
    digest = hashlib.sha256(b"0 10;2 30.5;").hexdigest()
    monkeypatch.setitem(KNOWN, "Art", (0b101, digest))
    for cells in ([10, None, 30.5], [10, 20, 30.5, 40]):
        write_table(tmp_path, "Art", cells)
        check_scores(tmp_path)  # the other tables are absent
    for cells, why in (([10, 20, 31], "another score"), ([10, 20], "1 of 2 are blank"), ([None, 10, 30.5], "1 of 2 are blank")):
        path = write_table(tmp_path, "Art", cells)
        with pytest.raises(UserError) as caught:
            check_scores(tmp_path)
        assert str(caught.value).startswith(f"{path}: not the scores") and why in str(caught.value)


def test_the_known_scores_are_992():
    assert {category: known.bit_count() for category, (known, _) in KNOWN.items()} == {
        **{"Advertisement": 139, "Art": 294, "Interior Design": 70, "Objects": 140, "Scenes": 140, "Suprematism": 70},
        "Visualizations": 139,
    }


@pytest.mark.skipif("CLICV2LITE_DATA" not in os.environ, reason="CLICV2LITE_DATA names no folder with savoias/")
def test_the_copy_that_results_were_computed_from_has_the_known_scores():
    check_scores(Path(os.environ["CLICV2LITE_DATA"]) / "savoias")


def changed(path: Path, old: bytes, new: bytes) -> None:
    """The same workbook with other bytes in its sheet."""
    with zipfile.ZipFile(path) as book:
        parts = {part: book.read(part) for part in book.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    assert old in parts[sheet]
    parts[sheet] = parts[sheet].replace(old, new, 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for part, data in parts.items():
            book.writestr(part, data)


def test_a_row_far_below_the_others_is_refused_and_not_counted_up_to(tmp_path):
    add_images(tmp_path, "Art", "0.jpg")
    path = write_table(tmp_path, "Art", [10, 20])
    changed(path, b'<row r="3"><c r="A3"', b'<row r="2000000000"><c r="A2000000000"')
    fails(tmp_path, str(path), "more than 100,000 rows")


def test_merged_cells_and_a_wrong_size_cost_nothing(tmp_path):
    add_images(tmp_path, "Art", "0.jpg", "1.jpg")
    path = write_table(tmp_path, "Art", [10, 20])
    changed(path, b"</sheetData>", b'</sheetData><mergeCells count="1"><mergeCell ref="A2:XFD1048576"/></mergeCells>')
    changed(path, b'ref="A1:A3"', b'ref="A1:A1"')
    assert savoias_ratings(tmp_path).scores.tolist() == [0.1, 0.2]


def test_a_table_that_is_large_when_unpacked_is_refused_before_it_is(tmp_path):
    add_images(tmp_path, "Art", "0.jpg")
    path = write_table(tmp_path, "Art", [10])
    changed(path, b"</sheetData>", b"</sheetData>" + b" " * (65 << 20))
    assert path.stat().st_size < 1 << 20
    fails(tmp_path, str(path), "more than 64 MiB")
