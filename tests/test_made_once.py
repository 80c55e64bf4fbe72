"""What several tests read is made once for all processes of pytest, also if the first that makes it fails."""

from concurrent.futures import ThreadPoolExecutor

import pytest


def test_of_many_who_ask_one_makes_it_and_all_get_it(made_once):
    made = []

    def make(folder):
        made.append(folder)
        (folder / "file").write_text("whole")

    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: made_once("asked-by-many", make), range(32)))
    assert len(made) == 1 and {(folder / "file").read_text() for folder in folders} == {"whole"}


def test_what_failed_is_made_again_from_the_start(made_once):
    def fail(folder):
        (folder / "half").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made_once("fails-first", fail)
    folder = made_once("fails-first", lambda folder: (folder / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]
