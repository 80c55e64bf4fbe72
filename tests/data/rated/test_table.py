import csv
import os
import re
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from clicv2lite.data.rated.table import Ratings, read_ratings, write_ratings
from clicv2lite.errors import UserError
from clicv2lite.outputs import Output, claimed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a few image files (a table only asks whether they are there)."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "c.jpg", "x, y.jpg", 'say "hi".jpg', "é ü 图.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/d.png").touch()
    return tmp_path


def table(text: str | bytes) -> str:
    with open("ratings.csv", "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
    return "ratings.csv"


def fails(text: str | bytes, *words: str, **options) -> str:
    with pytest.raises(UserError) as caught:
        read_ratings(table(text), **options)
    line = str(caught.value)
    assert "\n" not in line and line.startswith("ratings.csv")
    for word in words:
        assert word in line, line
    return line


def test_a_plain_table_is_read_in_order(folder):
    got = read_ratings(table("image,score\nb.jpg,0.5\na.jpg,1\nsub/d.png,0\n"))
    assert [str(path) for path in got.paths] == ["b.jpg", "a.jpg", "sub/d.png"]
    assert got.scores.tolist() == [0.5, 1, 0] and got.scores.dtype == np.float64
    assert got.categories is None and got.splits is None and len(got) == 3


def test_category_and_split_are_read_whatever_the_columns_order_and_extra_ones_are_passed_over(folder):
    got = read_ratings(table("split,notes,score,image,category\ntrain,x,0.1,a.jpg,Art\ntest,,0.2,b.jpg,Scenes\n"))
    assert got.categories == ["Art", "Scenes"] and got.splits == ["train", "test"]
    assert [path.name for path in got.paths] == ["a.jpg", "b.jpg"]


def test_an_empty_category_column_is_none(folder):
    assert read_ratings(table("image,score,category\na.jpg,0.1,\nb.jpg,0.2,\n")).categories is None


def test_paths_are_relative_to_the_table_and_not_to_the_current_folder(folder):
    (folder / "sub/r.csv").write_text("image,score\nd.png,0.1\n../a.jpg,0.2\n")
    got = read_ratings("sub/r.csv")
    assert all(path.is_file() for path in got.paths)
    assert [os.path.basename(path) for path in got.paths] == ["d.png", "a.jpg"]


def test_absolute_paths_stand(folder):
    got = read_ratings(table(f"image,score\n{folder}/a.jpg,0.1\nb.jpg,0.2\n"))
    assert got.paths[0] == folder / "a.jpg"


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_byte_order_mark_line_ends_blank_lines_and_blanks_change_nothing(folder, bom, end):
    lines = ["", " image , score,category", "", '"x, y.jpg", 0.25 ,Art', ",,", "   ", "é ü 图.jpg,.5,Ärt", ""]
    got = read_ratings(table(bom + end.join(lines).encode()))
    assert [path.name for path in got.paths] == ["x, y.jpg", "é ü 图.jpg"]
    assert got.scores.tolist() == [0.25, 0.5] and got.categories == ["Art", "Ärt"]


def test_a_score_outside_0_to_1_is_answered_as_the_manual_says(folder):
    rows = "".join(f"{name},0.{i}\n" for i, name in enumerate(["a.jpg", "b.jpg", "c.jpg"]))
    line = fails(f"image,score\n{rows}{chr(10) * 12}sub/d.png,4.5\n")
    want = "ratings.csv line 17: score 4.5 is outside 0..1; divide the column by its maximum, or pass --score-range 1 5"
    assert line == want


def test_a_score_range_maps_the_scale_to_0_to_1(folder):
    text = "image,score\na.jpg,1\nb.jpg,5\nc.jpg,4.5\n"
    assert read_ratings(table(text), score_range=(1, 5)).scores.tolist() == [0, 1, 0.875]
    fails("image,score\na.jpg,1\nb.jpg,5.5\n", "line 3: score 5.5 is outside 1..5", score_range=(1, 5))


@pytest.mark.parametrize("score_range", [(5, 1), (1, 1), (0, float("nan")), (0, float("inf"))])
def test_a_senseless_score_range_is_refused(folder, score_range):
    with pytest.raises(UserError, match="--score-range"):
        read_ratings(table("image,score\na.jpg,1\nb.jpg,0\n"), score_range=score_range)


@pytest.mark.parametrize(
    "score, words",
    [
        ("", "the score is empty"),
        ("high", "score 'high' is not a number"),
        ("0;5", "not a number"),
        ("nan", "score nan is not finite"),
        ("-inf", "score -inf is not finite"),
        ("1e999", "score 1e999 is not finite"),
        ("-0.1", "score -0.1 is outside 0..1"),
    ],
)
def test_a_wrong_score_is_named_with_its_line(folder, score, words):
    fails(f"image,score\na.jpg,0.5\nb.jpg,{score}\n", "ratings.csv line 3: ", words)


def test_a_comma_as_decimal_sign_shows_as_one_column_too_many(folder):
    fails("image,score\na.jpg,0,5\n", "line 2: 3 columns where the header has 2")


def test_the_same_image_twice_names_both_lines(folder):
    for again in ("a.jpg", "./a.jpg", "sub/../a.jpg", f"{folder}/a.jpg"):
        fails(f"image,score\na.jpg,0.5\nb.jpg,0.1\n\n{again},0.5\n", "line 5: ", "on line 2 already")


def test_a_missing_image_is_named_with_where_it_was_looked_for(folder):
    fails("image,score\na.jpg,0.5\nsub/none.jpg,0.1\n", "line 3: there is no image sub/none.jpg (looked for sub/none.jpg)")
    fails("image,score\na.jpg,0.5\nsub,0.1\n", "line 3: there is no image sub ")
    fails("image,score\n,0.5\n", "line 2: the image is empty")
    fails(f"image,score\n{'a' * 5000},0.5\n", "line 2: there is no image aaa")
    fails('image,score\n"a\nb",0.5\n', "line 3: there is no image a\\nb")


@pytest.mark.parametrize("given, file", [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_in_another_form_of_unicode_is_said(folder, given, file):
    Path(unicodedata.normalize(file, "né.jpg")).touch()
    name = unicodedata.normalize(given, "né.jpg")
    if os.path.exists(name):
        pytest.skip("this file system does not tell them apart")
    fails(
        f"image,score\na.jpg,0.5\n{name},0.1\n", "line 3: there is no image", f"the file is named in the form {file} of Unicode"
    )


def test_half_a_category_column_is_refused(folder):
    fails("image,score,category\na.jpg,0.5,Art\nb.jpg,0.1,\n", "line 3: the category is empty")
    fails("image,score,split\na.jpg,0.5,\nb.jpg,0.1,test\n", "line 2: the split is empty")


@pytest.mark.parametrize("text", ["", "\n\n", "image,score\n", "image,score\n\n,\n"])
def test_an_empty_table_says_so(folder, text):
    fails(text, "ratings.csv: the table has no rows")


def test_equal_scores_are_refused_since_no_correlation_exists(folder):
    fails("image,score\na.jpg,0.5\nb.jpg,0.50\n", "ratings.csv: all 2 scores are equal")
    fails("image,score\na.jpg,0.5\n", "ratings.csv: there is only one score")


def test_a_missing_column_lists_what_was_found(folder):
    fails("file,score\na.jpg,0.5\n", "line 1: there is no column image (found: file, score)")
    fails("a.jpg,0.5\nb.jpg,0.2\n", "there is no column image")
    fails(
        "image;score\na.jpg;0.5\n", "there is no column image", "separate the columns by commas, or write sep=; on a line above"
    )
    fails("image,score,score\na.jpg,0.5,0.5\n", "column score is there 2 times")


def test_broken_quotes_and_other_files_are_one_line(folder):
    fails('image,score\n"a.jpg,0.5\nb.jpg,1\n', "broken CSV", "quotes")
    fails('image,score\n"a.jpg"x,0.5\n', "line 2: broken CSV")
    fails(b"PK\x03\x04\xff\xfe", "not a text file in UTF-8")
    fails("image,score\ncafé.jpg,0.5\n".encode("latin-1"), "not a text file in UTF-8")
    fails("x" * 200_000, "ratings.csv line")


def test_a_missing_table_or_a_folder_is_one_line(folder):
    for path in ("none.csv", "sub"):
        with pytest.raises(UserError, match=f"^{path}: the table cannot be read"):
            read_ratings(path)


names = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 100
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.floats(0, 1), min_size=2, max_size=8), st.data())
def test_what_is_written_is_read_back_exactly(tmp_path, rows, data):
    scores = np.array(list(rows.values()))
    assume(scores.min() < scores.max())
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    (root / "images, and more").mkdir()
    paths = [root / "images, and more" / name for name in rows]
    for path in paths:
        path.touch()
    categories = [data.draw(names) for _ in rows]
    write_ratings(Ratings(paths, scores, categories, None), root / "out.csv")
    got = read_ratings(root / "out.csv")
    assert [os.path.abspath(path) for path in got.paths] == list(map(str, paths))
    assert got.scores.tolist() == scores.tolist() and got.categories == categories and got.splits is None


def test_a_table_moves_with_its_images_and_names_distant_ones_absolutely(folder):
    ratings = Ratings([folder / "sub/d.png", folder / "a.jpg"], np.array([0.1, 0.2]), None, ["train", "test"])
    write_ratings(ratings, "sub/new/../t.csv")
    with open("sub/t.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["image", "score", "split"], ["d.png", "0.1", "train"], [f"{folder}/a.jpg", "0.2", "test"]]


def test_a_failed_write_leaves_the_old_table_and_no_scrap(folder):
    table("old")
    ratings = Ratings([folder / "a.jpg", folder / "b.jpg"], np.array([0.1, 0.2]), ["only one"], None)
    with pytest.raises(ValueError):
        write_ratings(ratings, "ratings.csv")
    assert (folder / "ratings.csv").read_text() == "old" and not list(folder.glob("*.part"))
    with pytest.raises(UserError, match=re.escape("a.jpg/t.csv: the table cannot be written")):
        write_ratings(ratings, "a.jpg/t.csv")


def test_what_spreadsheets_make_of_a_table_is_read(folder):
    want = read_ratings(table("image,score,category\na.jpg,0.5,x\nsub/d.png,1,y\n"))
    for text in (
        "\ufeffimage,score,category\na.jpg,0.5,x\nsub/d.png,1,y\n",
        "sep=,\r\nimage,score,category\r\na.jpg,0.5,x\r\nsub/d.png,1,y\r\n",
        "\ufeffsep=;\r\n Image ; SCORE;Category\r\na.jpg;0.5;x\r\nsub/d.png;1;y\r\n",
        '"sep=\t"\n\nIMAGE\tScore\tcategory\na.jpg\t0.5\tx\nsub/d.png\t1\ty\n',
    ):
        got = read_ratings(table(text))
        assert got.paths == want.paths and got.scores.tolist() == [0.5, 1] and got.categories == ["x", "y"]


def test_lines_are_counted_with_what_stands_before_the_header(folder):
    fails("sep=;\nimage;score\na.jpg;0.5\nb.jpg;1,0\n", "line 4: score '1,0' is not a number", "with a point")
    fails("image,score,Score\na.jpg,0.5,0.5\n", "column score is there 2 times")
    fails("image,score\na.jpg,0.5\nb.jpg,1+2j\n", "line 3: score '1+2j' is not a number")
    fails("image,score\na.jpg,inf\n", "line 2: score inf is not finite")


def test_names_that_look_like_formulas_come_back(folder):
    for name in ("=1.jpg", "-2.jpg", "@3.jpg"):
        (folder / name).touch()
    paths = [folder / name for name in ("=1.jpg", "-2.jpg", "@3.jpg")]
    ratings = Ratings(paths, np.array([0.0, 0.5, 1.0]), ["=cmd()", "'=x", "'y"], ["+a", "b", "-"])
    write_ratings(ratings, folder / "t.csv")
    rows = list(csv.reader((folder / "t.csv").open(encoding="utf-8")))
    assert [row[0] for row in rows[1:]] == ["./=1.jpg", "./-2.jpg", "./@3.jpg"]
    assert [row[2:] for row in rows[1:]] == [["'=cmd()", "'+a"], ["''=x", "b"], ["'y", "'-"]]
    got = read_ratings(folder / "t.csv")
    assert got.paths == paths and got.categories == ratings.categories and got.splits == ratings.splits


@pytest.mark.posix
@pytest.mark.parametrize("name", [b" a.jpg", b"a.jpg ", b"a\xff.jpg", b"a\rb.jpg"])
def test_a_name_that_would_not_come_back_is_not_written(folder, name):
    image = folder / os.fsdecode(name)
    image.touch()
    with pytest.raises(UserError, match=r"cannot stand in a table: .*, holds a line break, .*; rename the image"):
        write_ratings(Ratings([folder / "a.jpg", image], np.array([0.0, 1.0]), None, None), folder / "t.csv")
    assert not (folder / "t.csv").exists()


@pytest.mark.parametrize("column", ["category", "split"])
@pytest.mark.parametrize("name", ["", " ", " x", "x\t", "x\ry", "\udcff"])
def test_a_category_or_split_that_would_not_come_back_is_not_written(folder, column, name):
    categories, splits = (["x", name], None) if column == "category" else (None, ["x", name])
    ratings = Ratings([folder / "a.jpg", folder / "b.jpg"], np.array([0.0, 1.0]), categories, splits)
    with pytest.raises(UserError, match=rf"t\.csv: the {column} '.*' cannot stand in a table: .*; rename it"):
        write_ratings(ratings, folder / "t.csv")
    assert not (folder / "t.csv").exists()


def test_an_image_that_the_command_will_replace_is_refused(folder):
    with claimed([Output("--json", folder / "b.jpg")]), pytest.raises(UserError, match=r"--json .*b.jpg: .*ratings.csv line 3"):
        read_ratings(table("image,score\na.jpg,0\nb.jpg,1\n"))
