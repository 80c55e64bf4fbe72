"""Tables with damage of every kind: each is read or one line, and no row of a good table gets another's score."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicv2lite.data.rated.table import read_ratings
from clicv2lite.errors import UserError
from clicv2lite.score.table import Table
from tests.fuzz.mutations import damage, damaged, texts

fuzz = settings.get_profile("fuzz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    here = tmp_path_factory.mktemp("tables")
    for i in range(6):
        (here / f"{i}.png").touch()
    return here


RATINGS = "image,score,category,split\n" + "".join(f'{i}.png,0.{i + 1},"c, {i % 2}",train\n' for i in range(6))
SCORES = "image,score,error\n" + "".join(f'"{i}, x.png",0.{i + 1}00000,\n' for i in range(5)) + "bad.png,,bad.png: corrupt\n"


def scores(path):
    return Table(path).scores


def outcome(read, path, content, refused):
    """What reading the content gives, or None where it is refused with one line that names the file."""
    path.write_bytes(content)
    try:
        return read(path)
    except UserError as error:
        refused(error)
        assert path.name in str(error)
        return None


@given(changes=damage)
@settings(fuzz)
def test_a_damaged_rating_table_is_read_or_one_line(folder, changes, refused):
    found = outcome(read_ratings, folder / "r.csv", damaged(RATINGS.encode(), changes), refused)
    if found is not None:
        assert len(found) >= 1 and ((found.scores >= 0) & (found.scores <= 1)).all()


@given(rows=st.lists(st.lists(texts, max_size=5), max_size=5))
@settings(fuzz)
def test_a_rating_table_of_any_cells_is_read_or_one_line(folder, rows, refused):
    text = io.StringIO()
    csv.writer(text).writerows([["image", "score", "category"], *rows])
    outcome(read_ratings, folder / "r.csv", text.getvalue().encode("utf-8", "surrogatepass"), refused)


@given(changes=damage)
@settings(fuzz)
def test_a_damaged_score_table_is_read_or_one_line(folder, changes, refused):
    outcome(scores, folder / "s.csv", damaged(SCORES.encode(), changes), refused)


@given(cut=st.integers(0, len(SCORES)))
@settings(fuzz)
def test_a_score_table_that_was_cut_keeps_its_whole_rows(folder, cut, refused):
    whole, found = (outcome(scores, folder / "s.csv", SCORES[:n].encode(), refused) for n in (len(SCORES), cut))
    assert found is not None and len(found) <= len(whole)
    assert dict(found).items() <= dict(whole).items()
