"""Seeds that an earlier result measured become rows of a new one, as if all had been made at once, and are not trained."""

import json
import shutil

import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.evaluate import rows as rows_module
from clicv2lite.evaluate import runs
from clicv2lite.evaluate.known import Kept
from clicv2lite.evaluate.missing import missing_probes
from clicv2lite.evaluate.sizes import SIZES
from clicv2lite.evaluate.suites import SUITES

WORDS = ["evaluate", "--size", "ci", "--images", "worlds:12", "--heads", "ridge", "likeness"]


def evaluate(out, suite, *more):
    return main([*WORDS, "--suite", suite, "--out", str(out), *more])


def rows_of(path):
    """A result's rows without what each call measures anew: the seconds of its runs."""
    result = json.loads(path.read_text())
    for row in result["rows"]:
        for run in row["runs"]:
            run.pop("seconds", None)
    return result["rows"], result["rated"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Table 5 with two seeds at once, and each seed in a folder of its own."""
    folder = tmp_path_factory.mktemp("known")
    rows = ("--rows", "entropy 2.0")
    for name, seeds in (("both", ["0", "1"]), ("first", ["0"]), ("second", ["1"])):
        assert evaluate(folder / name, "table5", *rows, "--seeds", *seeds) == 0
    return folder


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(runs, "pretrain", None)


def test_seeds_of_two_results_are_the_table_of_both(made, tmp_path, untrained):
    known = [str(made / name / "table5.json") for name in ("first", "second")]
    assert evaluate(tmp_path, "table5", "--rows", "entropy 2.0", "--seeds", "0", "1", "--known", *known) == 0
    got, rated = rows_of(tmp_path / "table5.json")
    want, same = rows_of(made / "both" / "table5.json")
    assert [row["label"] for row in got] == ["none", "entropy 2.0"]
    assert (got, rated) == (want, same)
    assert not (tmp_path / "runs").exists()


def test_what_is_known_is_not_measured_again_an_untrained_encoder_neither(made, tmp_path, monkeypatch):
    words = ["--rows", "untrained ViT", "--seeds", "0", "1"]
    assert evaluate(tmp_path / "once", "table5", *words) == 0
    monkeypatch.setattr(runs.RatedImages, "measure", None)
    assert evaluate(tmp_path / "again", "table5", *words, "--known", str(tmp_path / "once" / "table5.json")) == 0
    assert rows_of(tmp_path / "again" / "table5.json") == rows_of(tmp_path / "once" / "table5.json")


def test_only_the_seeds_that_no_result_holds_are_trained(made, tmp_path, monkeypatch):
    trained, pretrain = [], runs.pretrain
    monkeypatch.setattr(runs, "pretrain", lambda one: trained.append(one.recipe.seed) or pretrain(one))
    known = ["--known", str(made / "second" / "table5.json")]
    assert evaluate(tmp_path, "table5", "--rows", "entropy 2.0", "--seeds", "0", "1", *known) == 0
    assert trained == [0, 0]
    assert rows_of(tmp_path / "table5.json") == rows_of(made / "both" / "table5.json")


def test_another_suite_with_the_same_run_takes_it_and_a_missing_kind_of_measurement_does_not(made, tmp_path, capsys):
    known = ["--known", str(made / "first" / "table5.json"), "--seeds", "0", "--list"]
    assert evaluate(tmp_path, "table2", *known) == 0
    listed = capsys.readouterr().out
    assert "# (f)" not in listed and "# (e)" not in listed and "# (a)" in listed  # the rows of table 5
    assert evaluate(tmp_path, "table2", *known, "--heads", "icnet") == 0
    assert "# (f)" in capsys.readouterr().out


def test_a_dry_run_counts_what_is_known(made, tmp_path, capsys):
    words = ["--rows", "entropy 2.0", "--seeds", "0", "1", "--dry-run", "--json", str(tmp_path / "f.json")]
    ratings = ["--ratings", str(made / "first" / "ci" / "ratings.csv")]
    assert evaluate(tmp_path, "table5", *words, *ratings, "--known", str(made / "first" / "table5.json")) == 0
    assert json.loads((tmp_path / "f.json").read_text())["runs"] == 2
    assert "1 finished" in capsys.readouterr().out


def test_only_finished_reports_what_is_known(made, tmp_path, untrained):
    words = ["--rows", "entropy 2.0", "--seeds", "0", "1", "2", "--only-finished"]
    assert evaluate(tmp_path, "table5", *words, "--known", str(made / "both" / "table5.json")) == 0
    assert [[run["seed"] for run in row["runs"]] for row in rows_of(tmp_path / "table5.json")[0]] == [[0, 1], [0, 1]]


def test_a_supervised_baseline_is_known_from_its_own_result_and_from_a_suites(made, tmp_path, monkeypatch):
    rows, ratings = ("--rows", "P2P-FM", "--seeds", "0", "1"), made / "first" / "ci" / "ratings.csv"
    ratings = ["--ratings", str(ratings)]
    assert evaluate(tmp_path / "both", "table1", *rows, *ratings) == 0
    p2pfm = ["supervised", "--model", "p2pfm", "--size", "ci", "--folds", "2", *ratings]
    for seed in ("0", "1"):
        assert main([*p2pfm, "--seed", seed, "--json", str(tmp_path / f"{seed}.json")]) == 0
    monkeypatch.setattr(rows_module, "supervised", None)
    want, same = rows_of(tmp_path / "both" / "table1.json")
    own, suite = [tmp_path / "0.json", tmp_path / "1.json"], [tmp_path / "both" / "table1.json"]
    for name, known in (("own", [*own, *suite]), ("suite", suite)):
        assert evaluate(tmp_path / name, "table1", *rows, *ratings, "--known", *map(str, known)) == 0
        assert rows_of(tmp_path / name / "table1.json") == (want, same)
    row = want[0]
    assert row["label"] == "P2P-FM" and len(row["ours"]["ridge"]["pcc"]["values"]) == 2 and set(row["lacks"]) == {"likeness"}
    only = (*rows, *ratings, "--only-finished", "--known", str(own[0]))
    assert evaluate(tmp_path / "one", "table1", *only) == 0
    assert [run["seed"] for run in rows_of(tmp_path / "one" / "table1.json")[0][0]["runs"]] == [0]
    assert evaluate(tmp_path / "none", "table1", *only[:-2]) == 0
    assert rows_of(tmp_path / "none" / "table1.json")[0][0]["runs"] == []


def test_offsets_are_known_seed_by_seed(tmp_path, untrained, monkeypatch):
    monkeypatch.undo()
    words = ["--rows", "shift by 1 px"]
    for name, seeds in (("both", ["0", "1"]), ("first", ["0"])):
        assert evaluate(tmp_path / name, "shift", *words, "--seeds", *seeds) == 0
    known = [str(tmp_path / name / "shift.json") for name in ("first", "both")]
    monkeypatch.setattr(runs, "pretrain", None)
    assert evaluate(tmp_path / "got", "shift", *words, "--seeds", "0", "1", "--known", *known) == 0
    assert rows_of(tmp_path / "got" / "shift.json") == rows_of(tmp_path / "both" / "shift.json")


def refused(capsys):
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    return said[0]


def test_what_does_not_fit_is_one_line(made, tmp_path, capsys):
    other = json.loads((made / "first" / "table5.json").read_text())
    for name, text in (
        ("none.json", None),
        ("text.json", "words"),
        ("other.json", '{"size": "ci"}'),
        ("lite.json", json.dumps(other | {"size": "lite"})),
        ("short.json", json.dumps(other | {"rated": {}})),
        ("edited.json", json.dumps(other | {"rows": [row | {"predictions": {"ridge": [{}]}} for row in other["rows"]]})),
        ("alone.json", json.dumps({"model": "p2pfm", "settings": {}, "size": "ci", "seed": 0, "predictions": {}})),
        ("before.json", json.dumps({"model": "p2pfm", "settings": {}, "size": "ci", "seed": 0})),
        ("earlier.json", json.dumps(other | {"rows": [{"label": row["label"], "runs": row["runs"]} for row in other["rows"]]})),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        capsys.readouterr()
        assert evaluate(tmp_path / "out", "table5", "--seeds", "0", "--known", str(path)) == 2
        said = refused(capsys)
        assert f"--known {path}: " in said and "make results" not in said
        if name in ("before.json", "earlier.json"):
            assert said.endswith("kept no predictions; run its command again")
    assert evaluate(made / "first", "table5", "--seeds", "2", "--known", str(made / "first" / "table5.json")) == 2
    assert "copy it first" in refused(capsys)
    assert evaluate(tmp_path / "out", "fig7", "--known", str(made / "first" / "table5.json")) == 2
    assert "one seed only" in refused(capsys)


def test_a_result_of_other_ratings_is_refused(made, tmp_path, capsys):
    table = (made / "first" / "ci" / "ratings.csv").read_text().splitlines()
    fewer = made / "first" / "ci" / "fewer.csv"
    fewer.write_text("\n".join(table[:-1]) + "\n")
    capsys.readouterr()
    known = ["--ratings", str(fewer), "--known", str(made / "first" / "table5.json")]
    assert evaluate(tmp_path, "table5", "--seeds", "0", *known) == 2
    assert f"other images, ratings or folds than {fewer}" in refused(capsys)


def test_a_table_with_an_image_that_cannot_be_read_fits_itself(made, tmp_path, untrained, monkeypatch):
    monkeypatch.undo()
    table = tmp_path / "rated" / "ratings.csv"
    shutil.copytree(made / "first" / "ci", table.parent)
    (table.parent / "07.png").write_text("broken")
    words = ["--rows", "none", "--seeds", "0", "--ratings", str(table)]
    assert evaluate(tmp_path / "once", "table5", *words) == 0
    monkeypatch.setattr(runs, "pretrain", None)
    assert evaluate(tmp_path / "again", "table5", *words, "--known", str(tmp_path / "once" / "table5.json")) == 0
    assert rows_of(tmp_path / "again" / "table5.json") == rows_of(tmp_path / "once" / "table5.json")


def test_a_top1_is_known_and_one_that_no_result_has_is_said(made, tmp_path, untrained, capsys):
    imagenet, rows = tmp_path / "imagenet", ("--rows", "none", "--seeds", "0")
    for split in ("train", "val"):
        for name, level in (("dark", 40), ("light", 200)):
            (imagenet / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (40, 40), (level + i,) * 3).save(imagenet / split / name / f"{i}.png")
    shutil.copytree(made / "first", tmp_path / "with")
    assert evaluate(tmp_path / "with", "table5", *rows, "--imagenet", str(imagenet)) == 0
    known = ["--known", str(tmp_path / "with" / "table5.json")]
    assert evaluate(tmp_path / "got", "table5", *rows, *known) == 0
    (got,), (want,) = (rows_of(tmp_path / name / "table5.json")[0] for name in ("got", "with"))
    assert got == want and got["ours"]["top1"]["values"]
    capsys.readouterr()
    known = ["--known", str(made / "first" / "table5.json")]
    assert evaluate(tmp_path / "without", "table5", *rows, *known, "--imagenet", str(imagenet)) == 0
    assert "none, seed 0: known without top-1, and its encoder is not here" in capsys.readouterr().err
    assert "top1" not in rows_of(tmp_path / "without" / "table5.json")[0][0]["ours"]


def test_no_probe_is_asked_for_a_run_that_is_not_here(tmp_path):
    row, size = SUITES["table5"].rows[0], SIZES["ci"]
    key = Kept(tmp_path, ("worlds:12",)).folder(size.recipe(row, 0)).name
    for known, asked in (({}, 1), ({key: ({}, {"ridge": {}})}, 0), ({key: ({}, {"imagenet": {}})}, 0)):
        kept = Kept(tmp_path, ("worlds:12",), known)
        assert len(missing_probes(SUITES["table5"], [row], size, kept, (0,))) == asked
