"""File names as people have them, printed on one line and written to a table."""

import csv
import io
import os

from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.data.names import as_text
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
