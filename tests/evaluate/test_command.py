"""The command at its smallest size: every suite ends in table, JSON and figure; runs are shared, kept, and gone on with."""

import json
import re

import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate import figures, runs
from clicv2lite.evaluate.runs import RatedImages, run_key
from clicv2lite.evaluate.sizes import SIZES, find_data
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.evaluate.summary import spread
from clicv2lite.models.by_name import load_encoder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("suites")


def evaluate(out, suite, *more):
    return main(["evaluate", "--suite", suite, "--size", "ci", "--out", str(out), *more])


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table5", "fig6", "fig7"])
def test_a_suite_ends_in_json_table_and_figure(out, name, capsys):
    assert evaluate(out, name, "--seeds", "0") == 0
    result = json.loads((out / f"{name}.json").read_text())
    assert [row["label"] for row in result["rows"]] == [row.label for row in SUITES[name].rows]
    assert all(row["ours"]["ridge"]["pcc"]["mean"] is not None for row in result["rows"])
    assert all(-1 <= row["ours"]["ridge"]["pcc"]["mean"] <= 1 for row in result["rows"])
    assert result["commit"] is None or re.match(r"[0-9a-f]{12}", result["commit"])
    assert (out / f"{name}.md").read_text() == capsys.readouterr().out.removesuffix("\n")
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / f"{name}.svg").read_text()


def test_table1_runs_every_method(out):
    assert evaluate(out, "table1", "--seeds", "0") == 0
    rows = {row["label"]: row for row in json.loads((out / "table1.json").read_text())["rows"]}
    assert [label for label, row in rows.items() if row["ours"] is None and "pip install" not in row["missing"]] == [
        "CLIC Swin-B"
    ]
    table = (out / "table1.md").read_text()
    assert rows["Kyle et al."]["note"] == "built from its abstract alone" and "; built from its abstract alone) |" in table
    assert "not method=moco_published) |" in table and "not CLIC's added mosaics) |" in table


def test_fig5_has_every_category_of_three_methods(out):
    assert evaluate(out, "fig5", "--seeds", "0") == 0
    rows = json.loads((out / "fig5.json").read_text())["rows"]
    assert [row["label"] for row in rows] == ["ICNet", "CLIC", "CLICv2", "untrained ViT"]
    assert all("variance" in row["ours"]["ridge"] for row in rows)
    assert all(sum(key.startswith("pcc:") for key in row["ours"]["ridge"]) > 2 for row in rows)


def test_two_suites_share_a_run_and_nothing_is_trained_twice(tmp_path, monkeypatch, capsys):
    trained = []
    pretrain = runs.pretrain
    monkeypatch.setattr(runs, "pretrain", lambda what: trained.append(what.recipe) or pretrain(what))
    assert evaluate(tmp_path, "table4", "--seeds", "0", "1") == 0
    assert len(trained) == 4
    first = json.loads((tmp_path / "table4.json").read_text())
    assert evaluate(tmp_path, "table4", "--seeds", "0", "1") == 0
    again = json.loads((tmp_path / "table4.json").read_text())
    assert len(trained) == 4
    assert again["rows"] == first["rows"]
    assert evaluate(tmp_path, "fig6", "--seeds", "0", "--rows", "mask ratio 0.2") == 0
    assert len(trained) == 5  # ratio 0.6 is the patch-wise row of table 4
    figure = {row["label"]: row for row in json.loads((tmp_path / "fig6.json").read_text())["rows"]}
    assert figure["mask ratio 0.6"]["runs"][0]["key"] == first["rows"][1]["runs"][0]["key"]


def test_a_stopped_suite_goes_on_with_the_run_that_it_was_in(tmp_path, monkeypatch):
    stopped = []

    def stop_once(what):
        stopped.append(what.out)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(runs, "pretrain", stop_once)
        assert evaluate(tmp_path, "table4", "--seeds", "0") == 130
    assert len(stopped) == 1
    assert not (tmp_path / "table4.json").exists()
    assert evaluate(tmp_path, "table4", "--seeds", "0") == 0
    assert (stopped[0] / "encoder.safetensors").is_file()
    assert not (stopped[0] / "checkpoints").exists()


def test_the_key_changes_with_all_that_a_run_learns_from_and_with_nothing_else(tmp_path):
    size, row = SIZES["ci"], SUITES["table4"].rows[1]
    key = run_key(size.recipe(row, 0), ["worlds:40"])
    assert key == run_key(size.recipe(row, 0), ["worlds:40"])
    others = [size.recipe(row, 1), size.recipe(SUITES["table4"].rows[0], 0), SIZES["lite"].recipe(row, 0)]
    assert len({key, run_key(size.recipe(row, 0), ["worlds:41"]), *(run_key(r, ["worlds:40"]) for r in others)}) == 5


def test_a_measurement_is_the_one_of_probe(tmp_path, out):
    """The same number that `clicv2lite probe` prints for the same encoder, table, folds and seed."""
    evaluate(out, "table4", "--seeds", "0")
    run = json.loads((out / "table4.json").read_text())["rows"][1]
    folder = out / "runs" / run["runs"][0]["key"]
    table = find_data("ci", None, None, None, out).ratings
    common = ["probe", "--encoder", str(folder), "--ratings", str(table), "--folds", "2"]
    assert main([*common, "--json", str(tmp_path / "p.json")]) == 0
    assert json.loads((tmp_path / "p.json").read_text())["mean_pcc"] == run["ours"]["ridge"]["pcc"]["mean"]


def test_both_heads_stand_side_by_side(tmp_path):
    assert evaluate(tmp_path, "table4", "--seeds", "0", "--heads", "ridge", "icnet") == 0
    for row in json.loads((tmp_path / "table4.json").read_text())["rows"]:
        assert set(row["ours"]) == {"ridge", "icnet"}
        assert row["ours"]["ridge"]["pcc"]["mean"] != row["ours"]["icnet"]["pcc"]["mean"]


def test_list_prints_commands_that_make_the_missing_runs(tmp_path, capsys):
    assert evaluate(tmp_path, "table4", "--seeds", "0", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("clicv2lite pretrain --recipe ci --images worlds:40 ") for line in lines)
    words = lines[1].partition("  #")[0].split()
    assert main(words[1:]) == 0
    capsys.readouterr()
    assert evaluate(tmp_path, "table4", "--seeds", "0", "--list") == 0
    assert [line.rpartition("# ")[2] for line in capsys.readouterr().out.splitlines()] == ["image-wise"]


def test_full_starts_nothing_and_prints_torchrun(tmp_path, capsys):
    table = find_data("ci", None, None, None, tmp_path).ratings
    more = ["--size", "full", "--images", "worlds:40", "--ratings", str(table), "--out", str(tmp_path)]
    assert main(["evaluate", "--suite", "table4", *more]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 6  # two rows, three seeds
    assert all(line.startswith("torchrun ") and "--recipe vit-b32" in line for line in said.out.splitlines())
    assert "6 runs are missing" in said.err
    assert not (tmp_path / "table4.json").exists()


def test_the_untrained_vit_is_that_of_the_seed(tmp_path):
    recipe = SIZES["lite"].recipe(SUITES["table4"].rows[1], 1)
    ours, theirs = runs.untrained(recipe).vit.state_dict(), load_encoder("random", 1).vit.state_dict()
    assert all((ours[key] == theirs[key]).all() for key in theirs)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--seeds", "0", "0"], "--seeds 0 0: give different whole numbers"),
        (["--rows", "nothing"], "--rows 'nothing': --suite table4 has 'image-wise'"),
        (["--ratings", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, what):
    assert evaluate(tmp_path, "table4", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1
    assert what in error


def test_matplotlib_is_asked_for_before_the_long_part(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    assert evaluate(tmp_path, "table4") == 2
    assert "pip install matplotlib" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_table_without_categories_is_refused_where_a_suite_needs_them(tmp_path, capsys):
    data = find_data("ci", None, None, None, tmp_path)
    lines = [line.rpartition(",")[0] for line in data.ratings.read_text().splitlines()]
    (data.ratings.parent / "bare.csv").write_text("\n".join(lines) + "\n")
    assert evaluate(tmp_path, "table5", "--ratings", str(data.ratings.parent / "bare.csv")) == 2
    assert "needs a category column" in capsys.readouterr().err


def test_too_few_rated_images_are_refused_before_anything_is_trained(tmp_path, capsys):
    data = find_data("ci", None, None, None, tmp_path)
    few = data.ratings.parent / "few.csv"
    few.write_text("\n".join(data.ratings.read_text().splitlines()[:4]) + "\n")
    assert evaluate(tmp_path, "table4", "--ratings", str(few)) == 2
    assert "few.csv: 3 rated images are too few for 2 folds" in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["table4", "fig6"])
def test_a_row_without_a_pcc_is_left_out_of_the_figure(tmp_path, name):
    suite = SUITES[name]
    found = {"ridge": {"pcc": spread([0.5, 0.6])}}
    rows = [{"label": row.label, "paper": dict(row.paper), "ours": found} for row in suite.rows]
    rows[0]["ours"] = {"ridge": {}}
    result = {"suite": name, "size": "ci", "caption": suite.caption, "heads": ["ridge"], "rows": rows}
    figures.draw(result, tmp_path / name)
    assert (tmp_path / f"{name}.png").is_file()


def test_measurements_of_two_tables_are_kept_apart(tmp_path):
    data = find_data("ci", None, None, None, tmp_path)
    other = data.ratings.with_name("other.csv")
    other.write_text("\n".join(data.ratings.read_text().splitlines()[:-1]) + "\n")
    size = SIZES["ci"]
    one, two = RatedImages(data, size), RatedImages(find_data("ci", None, other, None, tmp_path), size)
    assert one.path(tmp_path, "ridge") != two.path(tmp_path, "ridge")
