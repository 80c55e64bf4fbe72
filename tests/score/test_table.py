import csv
import errno
import os
import re
import tarfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clicv2lite.cli import main
from clicv2lite.data.names import as_text
from clicv2lite.errors import UserError
from clicv2lite.models.model import load_model
from clicv2lite.models.norms import Norms, fingerprint
from clicv2lite.score import scoring, table
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.table import Table, write_csv


@pytest.fixture
def run(photos, models, tmp_path, monkeypatch):
    """Score the photographs into one table; which of them were encoded."""

    def command(*words, model=models[0], status=0):
        encoded = []
        original = scoring._score

        def spy(rows, *others):
            encoded.extend(row.image.rsplit("/")[-1] for row in rows if row.error is None)
            return original(rows, *others)

        monkeypatch.setattr(scoring, "_score", spy)
        assert main(["score", "--model", model, str(photos), "--csv", str(tmp_path / "s.csv"), *words]) == status
        monkeypatch.setattr(scoring, "_score", original)
        return sorted(encoded)

    command.model = models[0]
    return command


def test_a_second_run_scores_nothing_again_and_leaves_the_same_file(run, photos, tmp_path, capsys):
    assert len(run()) == 9
    before = (tmp_path / "s.csv").read_bytes()
    assert run() == [] and (tmp_path / "s.csv").read_bytes() == before
    assert "9 of 9 images are in" in capsys.readouterr().err
    (photos / "0.png").rename(photos / "new.png")
    assert run() == ["new.png"] and len(Table(tmp_path / "s.csv").scores) == 10  # the old row stays


def test_a_table_with_scores_near_0_and_1_is_of_the_same_model(run, models, tmp_path, photos):
    model = load_model(models[0])
    model.head.weight[:] *= 30  # far out of 0..1
    model.save(tmp_path / "far")
    run(model=str(tmp_path / "far"))
    scores = list(Table(tmp_path / "s.csv").scores.values())
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

    def stopped(rows, *others):
        if any(row.image.endswith("6.png") for row in rows):
            raise KeyboardInterrupt
        return original(rows, *others)

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "_score", stopped)
        arguments = ["score", str(photos), "--csv", str(tmp_path / "s.csv"), "--batch-size", "2", "--jobs", "1"]
        assert main([*arguments, "--model", models[0]]) == 130
    assert len(Table(tmp_path / "s.csv").scores) == 6
    assert run() == ["6.png", "7.png", "8.png"]


def test_a_table_of_another_model_is_refused_and_left_alone(run, models, tmp_path, capsys):
    run()
    before = (tmp_path / "s.csv").read_bytes()
    capsys.readouterr()
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
    assert len(Table(tmp_path / "s.csv").scores) == 8
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
        got = Table(path).scores
    except UserError:
        pytest.fail("a torn table was refused")
    assert got == {as_text(name): pytest.approx(scores[name], abs=1e-6) for name in list(scores)[: len(got)]}
    assert len(got) == len(scores) if cut == 0 else len(got) < len(scores)


@pytest.fixture
def twins(tmp_path, photos):
    """A tar of nine members, six of which have one name."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for i, photo in enumerate(sorted(photos.iterdir())):
            archive.add(photo, "same.png" if i % 3 else f"{i}.png")
    return path


@pytest.mark.parametrize("lines", range(1, 11))
def test_images_of_one_name_keep_their_own_scores(twins, models, tmp_path, lines):
    words = ["score", "--model", models[0], str(twins), "--csv", str(tmp_path / "s.csv"), "--batch-size", "1"]
    assert main(words) == 0
    whole = (tmp_path / "s.csv").read_bytes()
    assert len(set(whole.splitlines())) == 10  # nine scores, all different
    (tmp_path / "s.csv").write_bytes(b"".join(whole.splitlines(keepends=True)[:lines]))
    assert main(words) == 0 and (tmp_path / "s.csv").read_bytes() == whole


def test_after_an_error_the_rows_of_one_name_are_scored_again(twins, models, tmp_path, monkeypatch):
    words = ["score", "--model", models[0], str(twins), "--csv", str(tmp_path / "s.csv"), "--batch-size", "1", "--jobs", "1"]
    assert main(words) == 0
    whole = (tmp_path / "s.csv").read_bytes()
    lines = whole.splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b"same.png" in line)
    lines[at] = lines[at].split(b",")[0] + b",,,,,gone for a moment\n"
    (tmp_path / "s.csv").write_bytes(b"".join(lines))
    original, calls = scoring._score, []

    def stopped(rows, *others):
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(rows, *others)

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "_score", stopped)
        assert main(words) == 130
    assert main(words) == 0 and (tmp_path / "s.csv").read_bytes() == whole


def test_names_like_formulas_are_written_as_paths_and_found_again(models, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    names = ["=1.png", "+2.png", "@3.png", "＝4.png"]
    for old, new in zip(sorted(photos.iterdir()), names, strict=False):
        old.rename(new)
    words = ["score", "--model", models[0], *names, "--csv", str(tmp_path / "s.csv")]
    assert main([*words[:-2], "=gone.png", *words[-2:]]) == 1
    rows = list(csv.reader((tmp_path / "s.csv").open(encoding="utf-8")))[1:]
    assert [row[0] for row in rows] == [f"./{name}" for name in (*names, "=gone.png")]
    assert rows[-1][-1].startswith("'=gone.png: ")
    assert list(Table(tmp_path / "s.csv").scores) == names
    before = (tmp_path / "s.csv").read_bytes().splitlines(keepends=True)[:-1]
    (tmp_path / "s.csv").write_bytes(b"".join(before).replace(b"./", b""))  # as an earlier version wrote it
    capsys.readouterr()
    assert main(words) == 0 and (tmp_path / "s.csv").read_bytes() == b"".join(before)
    assert "4 of 4 images are in" in capsys.readouterr().err


def test_maps_of_known_images_add_no_second_row(run, tmp_path, monkeypatch):
    run()
    before = (tmp_path / "s.csv").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(table.Table, "finish", lambda self, rows: None)  # stopped just before
        run("--map", str(tmp_path / "m"))
    assert (tmp_path / "s.csv").read_bytes() == before


@pytest.mark.parametrize("damage", [os.unlink, lambda path: path.write_bytes(b"damaged")])
def test_a_known_image_that_cannot_be_read_again_costs_its_map_and_no_score(run, photos, tmp_path, damage, capsys):
    run()
    before = (tmp_path / "s.csv").read_bytes()
    damage(photos / "4.png")
    words = ["score", "--model", run.model, *(str(photos / f"{i}.png") for i in range(9)), "--csv", str(tmp_path / "s.csv")]
    capsys.readouterr()
    assert main([*words, "--map", str(tmp_path / "m")]) == 1 and (tmp_path / "s.csv").read_bytes() == before
    said = capsys.readouterr().err
    assert "4.png: " in said and "; its score is kept\n" in said and "1 of 9 maps could not be written" in said
    assert len(list((tmp_path / "m").iterdir())) == 8


@pytest.mark.parametrize("size", [20, 60_000])
def test_a_stray_quote_is_named_and_the_table_left_alone(run, tmp_path, size, capsys):
    data = 'image,score,error\na.png,0.500000,\n"b.png,0.500000,\n' + "c.png,0.500000,\n" * size
    (tmp_path / "s.csv").write_text(data)
    run(status=2)
    error = capsys.readouterr().err
    assert re.search("line (3|[0-9]+): broken CSV", error) and error.count("\n") == 1
    assert (tmp_path / "s.csv").read_text() == data


def test_bytes_without_a_line_end_are_no_torn_table(run, tmp_path, capsys):
    (tmp_path / "s.csv").write_bytes(b"\x89PNG")
    run(status=2)
    assert "not UTF-8" in capsys.readouterr().err and (tmp_path / "s.csv").read_bytes() == b"\x89PNG"


def test_a_full_disk_keeps_the_scores_before_it(run, tmp_path, monkeypatch, capsys):
    fsync, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(number)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        run("--batch-size", "1", "--jobs", "1", status=2)
    error = capsys.readouterr().err
    assert "s.csv: cannot be written (the disk is full)" in error and error.count("\n") == 1
    there = len(Table(tmp_path / "s.csv").scores)
    assert 1 <= there < 9 and len(run()) == 9 - there


def columns(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def norms_of(model):
    return Norms(
        "nothing", fingerprint(load_model(model).head), np.linspace(0, 1, 201), {}, np.array([0.5]), np.array([0.1, 0.2])
    )


def test_a_table_of_the_earlier_version_goes_on_with_all_columns(run, models, tmp_path, monkeypatch):
    run()
    whole = columns(tmp_path / "s.csv")
    old = "image,score,error\n" + "".join(f"{row['image']},{row['score']},\n" for row in whole[:5])
    (tmp_path / "s.csv").write_text(old + f"{whole[5]['image']},,corrupt\n")
    model = load_model(models[0])
    model.norms = norms_of(models[0])
    monkeypatch.setattr("clicv2lite.score.command.load_model", lambda *_: model)
    assert len(run("--batch-size", "2")) == 4  # those that it had not, with the one that had failed
    got = columns(tmp_path / "s.csv")
    assert list(got[0]) == ["image", "score", "percentile", "uncertainty", "flags", "error"]
    assert [(row["image"], row["score"], row["error"]) for row in got] == [(r["image"], r["score"], "") for r in whole]
    assert [row["flags"] for row in got] == ["unknown"] * 5 + [row["flags"] for row in whole[5:]]
    assert all("small" in row["flags"].split() for row in whole)
    for row in got:
        assert row["percentile"] == f"{100 * float(row['score']):.1f}"
        assert row["uncertainty"] == ("0.100" if float(row["score"]) < 0.5 else "0.200")
    again = (tmp_path / "s.csv").read_bytes()
    assert run() == [] and (tmp_path / "s.csv").read_bytes() == again


def test_an_earlier_table_has_one_header_and_equal_rows_while_it_grows(run, models, tmp_path):
    run()
    whole = columns(tmp_path / "s.csv")
    old = "image,score,error\n" + "".join(f"{row['image']},{row['score']},\n" for row in whole[:5])
    (tmp_path / "s.csv").write_text(old)
    grown = table.Table(tmp_path / "s.csv")
    grown.add([ImageRow(whole[5]["image"], tmp_path, 0.25, flags=("border", "text"))])
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == ",".join(table.COLUMNS) and {line.count(",") for line in lines} == {5}
    assert lines[6] == f"{whole[5]['image']},0.250000,,,border text,"


@pytest.mark.parametrize(
    "row", ["a.png,0.5,much,0.1,,", "a.png,0.5,1.0,0.1,cat,", "a.png,0.5,,", "a.png,0.5,1.0,0.1,", "a.png,0.5,1.0,0.1,,,"]
)
def test_a_row_that_is_none_of_the_columns_is_named(tmp_path, row):
    (tmp_path / "s.csv").write_text(",".join(table.COLUMNS) + f"\n{row}\n")
    with pytest.raises(UserError, match="row 2: not image,score,percentile,uncertainty,flags,error"):
        Table(tmp_path / "s.csv")
