import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clicv2lite.cli import main
from clicv2lite.data.names import as_text
from clicv2lite.errors import UserError
from clicv2lite.models.model import load_model, save_model
from clicv2lite.score import scoring
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.table import read_table, write_csv


@pytest.fixture
def run(photos, models, tmp_path, monkeypatch):
    """Score the photographs into one table; which of them were encoded."""

    def command(*words, model=models[0], status=0):
        encoded = []
        original = scoring._score

        def spy(rows, targets, model):
            encoded.extend(row.image.rsplit("/")[-1] for row in rows if row.error is None)
            return original(rows, targets, model)

        monkeypatch.setattr(scoring, "_score", spy)
        assert main(["score", "--model", model, str(photos), "--csv", str(tmp_path / "s.csv"), *words]) == status
        monkeypatch.setattr(scoring, "_score", original)
        return sorted(encoded)

    return command


def test_a_second_run_scores_nothing_again_and_leaves_the_same_file(run, photos, tmp_path, capsys):
    assert len(run()) == 9
    before = (tmp_path / "s.csv").read_bytes()
    assert run() == [] and (tmp_path / "s.csv").read_bytes() == before
    assert "9 of 9 images are in" in capsys.readouterr().err
    (photos / "0.png").rename(photos / "new.png")
    assert run() == ["new.png"] and len(read_table(tmp_path / "s.csv")) == 10  # the old row stays


def test_a_table_with_scores_near_0_and_1_is_of_the_same_model(run, models, tmp_path, photos):
    model = load_model(models[0])
    model.head.weight[:] *= 30  # far out of 0..1
    (tmp_path / "far").mkdir()
    save_model(tmp_path / "far", model, models[0])
    run(model=str(tmp_path / "far"))
    scores = list(read_table(tmp_path / "s.csv").values())
    assert min(scores) < 0.05 or max(scores) > 0.95
    assert run(model=str(tmp_path / "far")) == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_table_torn_anywhere_is_mended_and_ends_as_if_it_had_not_been(run, tmp_path, cut):
    run()
    whole = (tmp_path / "s.csv").read_bytes()
    (tmp_path / "s.csv").write_bytes(whole[:-cut])
    again = run("--batch-size", "2")
    assert (tmp_path / "s.csv").read_bytes() == whole and 1 <= len(again) <= 2


def test_an_interrupted_run_keeps_what_it_had(run, models, tmp_path, monkeypatch, photos):
    original = scoring._score

    def stopped(rows, targets, model):
        if any(row.image.endswith("6.png") for row in rows):
            raise KeyboardInterrupt
        return original(rows, targets, model)

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "_score", stopped)
        arguments = ["score", str(photos), "--csv", str(tmp_path / "s.csv"), "--batch-size", "2", "--jobs", "1"]
        assert main([*arguments, "--model", models[0]]) == 130
    assert len(read_table(tmp_path / "s.csv")) == 6
    assert run() == ["6.png", "7.png", "8.png"]


def test_a_table_of_another_model_is_refused_and_left_alone(run, models, tmp_path, capsys):
    run()
    before = (tmp_path / "s.csv").read_bytes()
    run(model=models[1], status=2)
    error = capsys.readouterr().err
    assert "it is of another model" in error and len(error.splitlines()) == 1
    assert (tmp_path / "s.csv").read_bytes() == before


def test_a_table_of_other_images_is_checked_by_the_files_it_names(run, models, tmp_path, photos):
    run()
    (tmp_path / "other").mkdir()
    (photos / "0.png").rename(tmp_path / "other" / "0.png")
    words = [str(tmp_path / "other"), "--csv", str(tmp_path / "s.csv")]
    assert main(["score", "--model", models[1], *words]) == 2
    assert main(["score", "--model", models[0], *words]) == 0
    for path in photos.iterdir():
        path.unlink()
    (tmp_path / "other" / "0.png").rename(tmp_path / "other" / "1.png")
    assert main(["score", "--model", models[0], *words]) == 2  # nothing is left that could show it


def test_errors_are_tried_again(run, photos, tmp_path):
    good = (photos / "4.png").read_bytes()
    (photos / "4.png").write_bytes(b"")
    run(status=1)
    assert len(read_table(tmp_path / "s.csv")) == 8
    (photos / "4.png").write_bytes(good)
    assert run() == ["4.png"]
    rows = list(csv.reader((tmp_path / "s.csv").open()))
    assert [row[0][-5:] for row in rows[1:]] == [f"{i}.png" for i in range(9)]  # in order, with no row of the error


@pytest.mark.parametrize("content, message", [
    ("name,value\na,0.5\n", "its columns are name,value"),
    ("image,score\na,0.5\n", "its columns are image,score"),
    ("image,score,error\na,much,\n", "row 2"),
    ("image,score,error\na,1.5,\n", "outside 0..1"),
    ("hello", "no table"),
    (b"\xff\xfe\n\n", "not UTF-8"),
])  # fmt: skip
def test_a_file_that_is_no_such_table_is_refused_and_left_alone(run, tmp_path, content, message, capsys):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "s.csv").write_bytes(data)
    run(status=2)
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1 and (tmp_path / "s.csv").read_bytes() == data


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, st.floats(0, 1), min_size=1, max_size=5), st.integers(0, 40))
def test_a_cut_table_is_read_as_a_beginning_of_its_rows(tmp_path, scores, cut):
    path = tmp_path / "t.csv"
    write_csv(path, [ImageRow(name, path, score=score) for name, score in scores.items()])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut])
    try:
        got = read_table(path)
    except UserError:
        pytest.fail("a torn table was refused")
    assert got == {as_text(name): pytest.approx(scores[name], abs=1e-6) for name in list(scores)[: len(got)]}
    assert len(got) == len(scores) if cut == 0 else len(got) < len(scores)
