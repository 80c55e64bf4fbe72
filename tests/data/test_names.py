"""File names as people have them, printed on one line and written to a table."""

import csv
import io
import os

from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.data.names import FORMULA, as_cell, as_text, from_cell
from clicv2lite.errors import one_line

names = st.binary(min_size=1, max_size=20).map(os.fsdecode)  # any bytes may name a file


@given(names)
def test_one_line_is_printable_and_keeps_what_is_printable(name):
    shown = one_line(name)
    assert shown.isprintable() and shown.encode("utf-8")
    assert shown == name or not name.isprintable()


@given(st.text(st.characters(exclude_characters="\\"), max_size=20))
def test_one_line_loses_nothing(text):
    assert one_line(text).encode("ascii", "backslashreplace").decode("unicode_escape") == text


@given(names)
def test_a_table_keeps_a_name_as_text(name):
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerow([as_text(name), "0.5"])
    file.seek(0)
    assert list(csv.reader(file)) == [[as_text(name), "0.5"]]
    assert as_text(name) == name or "\r" in name or not name.isprintable()


def test_a_byte_that_is_no_utf_8_becomes_its_escape():
    name = os.fsdecode(b"latin\xfc\r.png")
    assert as_text(name) == r"latin\udcfc\r.png" == one_line(name)


cells = st.text(st.sampled_from("=+-@\t\r\n'./aＡ＝＋－＠1"), max_size=6) | names


@given(cells)
def test_no_cell_is_a_formula_and_text_comes_back(text):
    cell = as_cell(text)
    assert not FORMULA.match(cell) and from_cell(cell) == as_text(text)
    assert cell == as_text(text) or cell == f"'{as_text(text)}"


@given(cells)
def test_the_cell_of_a_path_is_no_formula_and_names_the_same_file(name):
    cell = as_cell(name, path=True)
    assert not FORMULA.match(cell) and os.path.normpath(cell) == os.path.normpath(as_text(name))
    assert from_cell(cell, path=True) == from_cell(as_text(name), path=True)  # both names of it are found by one key


def test_ordinary_names_stay_as_they_are():
    for name in ("a.png", "a=b.png", "./a.png", "/x/-a.png", "'quoted'.png"):
        assert as_cell(name, path=True) == as_cell(name) == name
    assert as_cell("=HYPERLINK(1)") == "'=HYPERLINK(1)" and as_cell("=1.png", path=True) == "./=1.png"
