"""The command at its smallest size: every suite ends in table, JSON and figure; runs are shared, kept, and gone on with."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clicv2lite.cli import main
from clicv2lite.evaluate import figures, runs
from clicv2lite.evaluate.keys import run_key
from clicv2lite.evaluate.known import Kept
from clicv2lite.evaluate.missing import missing_commands
from clicv2lite.evaluate.pairing import as_json, paired_rows
from clicv2lite.evaluate.rows import take_rated
from clicv2lite.evaluate.runs import RatedImages
from clicv2lite.evaluate.sizes import SIZES, find_data
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.evaluate.summary import spread
from clicv2lite.models.by_name import load_encoder
from clicv2lite.probe.encoding import encode
from clicv2lite.probe.invariance import INVERSE_PENALTY, neighbourhood
from clicv2lite.probe.metrics import report
from clicv2lite.probe.predictions import unpack, unpack_names


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
    assert not [label for label, row in rows.items() if row["ours"] is None and "pip install" not in row["missing"]]
    assert {"MoCo ResNet50", "CLIC ResNet50", "CLIC Swin-B", "CLIC ViT-L/16", "CLICv2 ViT-L/16*"} <= rows.keys()
    networks = {row.label: SIZES["ci"].recipe(row, 0).backbone for row in SUITES["table1"].rows}
    assert (networks["MoCo ResNet50"], networks["CLIC Swin-B"], networks["CLIC ViT-L/16"]) == (
        "resnet-lite",
        "swin-lite",
        "vit",
    )
    table = (out / "table1.md").read_text()
    assert rows["Kyle et al."]["note"] == "built from its abstract alone" and "; built from its abstract alone) |" in table
    assert "not method=moco_published) |" in table and "not CLIC's added mosaics) |" in table


def test_fig5_has_every_category_of_three_methods(out):
    assert evaluate(out, "fig5", "--seeds", "0") == 0
    rows = json.loads((out / "fig5.json").read_text())["rows"]
    assert [row["label"] for row in rows] == ["ICNet", "CLIC", "CLICv2", "untrained ViT"]
    assert all("variance" in row["ours"]["ridge"] for row in rows)
    assert len({row["predictions"]["ridge"][0]["images"] for row in rows}) == 1  # ICNet can be paired with the others
    assert len({row["predictions"]["ridge"][0]["folds"] for row in rows}) == 1
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


def test_runs_that_were_stored_before_there_were_other_backbones_keep_their_keys():
    recipe = SIZES["ci"].recipe(SUITES["table4"].rows[1], 0)
    assert run_key(recipe, ["worlds:40"]) == "79fc7d5558af"  # written by the version before
    other = SIZES["ci"].recipe(next(row for row in SUITES["table1"].rows if row.label == "CLIC Swin-B"), 0)
    assert len({run_key(other.changed({"backbone": name}), ["worlds:40"]) for name in ("swin-lite", "resnet-lite")}) == 2


def test_the_full_size_has_the_networks_that_the_paper_names():
    rows = {row.label: SIZES["full"].recipe(row, 0) for row in SUITES["table1"].rows if row.trained and not row.baseline}
    assert [(rows[label].backbone, rows[label].size) for label in ("MoCo ResNet50", "CLIC ResNet50", "CLIC Swin-B")] == [
        ("resnet50", 224),
        ("resnet50", 224),
        ("swin-b", 224),
    ]
    assert len(rows) == 8 and all(recipe.store == 0 for recipe in rows.values())


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


def test_stored_predictions_give_the_reported_numbers_and_both_intervals(tmp_path):
    assert evaluate(tmp_path, "table5", "--seeds", "0", "1", "--rows", "entropy 1.0", "pixels 1.0") == 0
    result = json.loads((tmp_path / "table5.json").read_text())
    rows = {row["label"]: row for row in result["rows"]}
    (rated,) = result["rated"].values()
    scores, names = unpack(rated["scores"]), unpack_names(rated["categories"])
    assert len(scores) == len(names) == result["n"]
    for row in rows.values():
        for place, kept in enumerate(row["predictions"]["ridge"]):
            again = report(scores, unpack(kept["values"]), names, resamples=0)["mean_pcc"]
            assert again == pytest.approx(row["ours"]["ridge"]["pcc"]["values"][place], abs=1e-4)
        right = [100 * unpack(kept["values"]).mean() for kept in row["predictions"]["classes"]]
        assert right == pytest.approx(row["ours"]["category_accuracy"]["values"])
        assert (row["difference"]["pcc"] is None) == (row["label"] == result["reference"])
    for key in ("pcc", "category_accuracy"):
        found = rows["entropy 1.0"]["difference"][key]
        assert found == as_json(paired_rows(result, "entropy 1.0", "none", key))
        assert found["over_seeds"][0] <= found["mean"] <= found["over_seeds"][1] and len(found["over_images"]) == 2
        assert rows["entropy 1.0"]["direction"][key] in ("agrees", "disagrees", "undecided")
    assert paired_rows(result, "entropy 1.0", "entropy 2.0") is None


def test_a_measurement_without_predictions_is_made_again_and_its_run_is_not(tmp_path, monkeypatch):
    assert evaluate(tmp_path, "table4", "--seeds", "0") == 0
    first = json.loads((tmp_path / "table4.json").read_text())
    for path in (tmp_path / "runs").rglob("ridge-*.json"):
        old = json.loads(path.read_text())
        del old["predictions"]
        path.write_text(json.dumps(old))
    monkeypatch.setattr(runs, "pretrain", None)
    assert evaluate(tmp_path, "table4", "--seeds", "0") == 0
    again = json.loads((tmp_path / "table4.json").read_text())
    assert [row["predictions"] for row in again["rows"]] == [row["predictions"] for row in first["rows"]]


def test_a_test_table_is_paired_on_its_own_images(tmp_path):
    data = find_data("ci", None, None, None, tmp_path)
    head, *lines = data.ratings.read_text().splitlines()
    tables = [data.ratings.with_name(name) for name in ("fit.csv", "test.csv")]
    for table, part in zip(tables, (lines[:12], lines[12:]), strict=True):
        table.write_text("\n".join([head, *part]) + "\n")
    words = ["--ratings", str(tables[0]), "--test", str(tables[1]), "--seeds", "0", "1"]
    assert evaluate(tmp_path, "table4", *words) == 0
    result = json.loads((tmp_path / "table4.json").read_text())
    (rated,) = result["rated"].values()
    assert len(unpack(rated["scores"])) == result["n"] == len(lines) - 12
    assert len(result["rows"][1]["difference"]["pcc"]["over_images"]) == 2


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


def test_list_writes_nothing(tmp_path, capsys):
    assert evaluate(tmp_path / "out", "table4", "--list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4 and not any(tmp_path.rglob("*.*"))


def test_rows_with_one_run_are_one_command_and_others_stay_whatever_the_folder_is_called():
    rows, size = SUITES["table4"].rows, SIZES["ci"]
    kept = Kept(Path("a  # b"), ("worlds:40",))
    lines = missing_commands([*rows, *rows], size, kept, (0,))
    assert len(lines) == 2 and all("--out 'a  # b/" in line for line in lines)


def test_full_starts_nothing_and_prints_torchrun(tmp_path, capsys):
    table = find_data("ci", None, None, None, tmp_path).ratings
    more = ["--size", "full", "--images", "worlds:40", "--ratings", str(table), "--out", str(tmp_path)]
    assert main(["evaluate", "--suite", "table4", *more]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 6  # two rows, three seeds
    assert all(line.startswith("torchrun ") and "--recipe vit-b32" in line for line in said.out.splitlines())
    assert "6 runs are missing" in said.err
    assert not (tmp_path / "table4.json").exists()


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Three classes of coloured images, arranged as ImageNet."""
    root = tmp_path_factory.mktemp("imagenet")
    for part, count in (("train", 12), ("val", 4)):
        for name, colour in (("a", "red"), ("b", "lime"), ("c", "navy")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (24 + i, 20), colour).save(root / part / name / f"{i}.JPEG")
    return root


def test_the_category_probe_has_its_own_column_and_top1_is_imagenets(tmp_path, classes, capsys):
    rows = ["--seeds", "0", "--rows", "entropy 2.0"]
    assert evaluate(tmp_path, "table5", *rows) == 0
    before = json.loads((tmp_path / "table5.json").read_text())
    assert all("category_accuracy" in row["ours"] and "top1" not in row["ours"] for row in before["rows"])
    assert "share of images whose semantic category is right" in before["caption"] and "ImageNet" not in before["caption"]
    capsys.readouterr()
    assert evaluate(tmp_path, "table5", *rows, "--imagenet", str(classes)) == 0
    after = json.loads((tmp_path / "table5.json").read_text())
    assert "| ours, top-1 on ImageNet, % [range] |" in capsys.readouterr().out
    for old, new in zip(before["rows"], after["rows"], strict=True):
        assert new["ours"]["category_accuracy"] == old["ours"]["category_accuracy"]
        folder = tmp_path / "runs" / new["runs"][0]["key"]
        measured = json.loads((folder / "imagenet.json").read_text())
        assert new["ours"]["top1"]["mean"] == 100 * measured["top1"]
        (kept,) = new["predictions"]["imagenet"]
        assert unpack(kept["values"]).mean() == pytest.approx(measured["top1"]) and len(unpack(kept["values"])) == measured["n"]
    difference = after["rows"][1]["difference"]["top1"]
    assert difference == as_json(paired_rows(after, after["rows"][1]["label"], after["reference"], "top1"))
    assert len(difference["over_images"]) == 2 and difference["mean"] == pytest.approx(difference["values"][0])
    # once measured, it stays in the table
    assert evaluate(tmp_path, "table5", *rows) == 0
    assert json.loads((tmp_path / "table5.json").read_text())["rows"] == after["rows"]


def test_top1_is_the_number_of_probe(tmp_path, classes):
    rows = ["--seeds", "0", "--rows", "none"]
    assert evaluate(tmp_path, "table5", *rows) == 0
    folder = tmp_path / "runs" / json.loads((tmp_path / "table5.json").read_text())["rows"][0]["runs"][0]["key"]
    assert main(["probe", "--encoder", str(folder), "--imagenet", str(classes), "--out", str(folder)]) == 0
    assert evaluate(tmp_path, "table5", *rows) == 0
    (row,) = json.loads((tmp_path / "table5.json").read_text())["rows"]
    assert row["ours"]["top1"]["mean"] == 100 * json.loads((folder / "imagenet.json").read_text())["top1"]


def test_full_lists_the_probes_on_imagenet_unless_the_images_are_given(tmp_path, classes, capsys):
    table = find_data("ci", None, None, None, tmp_path).ratings
    more = ["--size", "full", "--images", "worlds:40", "--ratings", str(table), "--out", str(tmp_path), "--seeds", "0"]
    for suite, count in (("table3", 5), ("table5", 9)):
        assert main(["evaluate", "--suite", suite, *more]) == 1
        lines = capsys.readouterr().out.splitlines()
        probes = [line for line in lines if " probe --encoder " in line]
        assert len(lines) == 2 * count and len(probes) == count
        assert all(line.startswith("torchrun ") and " --imagenet DIR --out " in line for line in probes)
        assert main(["evaluate", "--suite", suite, *more, "--imagenet", str(classes)]) == 1
        assert " probe " not in capsys.readouterr().out
    assert main(["evaluate", "--suite", "table4", *more]) == 1
    assert " probe " not in capsys.readouterr().out


def test_only_suites_with_that_column_take_imagenet(tmp_path, classes, capsys):
    assert evaluate(tmp_path, "table4", "--imagenet", str(classes)) == 2
    assert "only table3 and table5 have a column top-1" in capsys.readouterr().err
    assert evaluate(tmp_path, "table5", "--imagenet", str(tmp_path / "typo")) == 2
    assert "there is no folder train" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_the_category_probe_respects_the_split_of_a_table(tmp_path):
    data = find_data("ci", None, None, None, tmp_path)
    lines = data.ratings.read_text().splitlines()
    split = data.ratings.with_name("split.csv")
    parts = ["split", *("train" if i % 4 else "test" for i in range(len(lines) - 1))]
    split.write_text("".join(f"{line},{part}\n" for line, part in zip(lines, parts, strict=True)))
    rated = RatedImages(find_data("ci", None, split, None, tmp_path), SIZES["ci"])
    encoder = runs.untrained(SIZES["ci"].recipe(SUITES["table5"].rows[0], 0))
    got = rated.measure(tmp_path / "run", encoder, ["classes"], 0)["classes"]
    x, read, _ = encode(encoder, "ridge", rated.task.paths, 64)
    x, names = x.double().numpy(), np.array(rated.task.categories)
    fits, tests = rated.task.train, rated.task.test
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)).fit(x[fits], names[fits])
    assert read.all() and got["accuracy"] == (probe.predict(x[tests]) == names[tests]).mean()
    plain = RatedImages(data, SIZES["ci"])
    assert rated.path(tmp_path, "classes").name.startswith("classes-split-")
    assert plain.path(tmp_path, "classes").name.startswith("classes-2-")


def test_the_neighbours_of_a_map_are_those_of_its_points(tmp_path):
    rated = RatedImages(find_data("ci", None, None, None, tmp_path), SIZES["ci"])
    encoder = runs.untrained(SIZES["ci"].recipe(SUITES["fig7"].rows[0], 0))
    got = rated.measure(tmp_path / "run", encoder, ["map"], 0)["map"]
    want = neighbourhood(got["points"], got["categories"], got["scores"])
    assert {key: got[key] for key in want} == pytest.approx(want, abs=0.02)  # points are rounded


def test_self_similarity_reads_the_blocks_of_the_recipe_and_of_a_network_of_maps_the_last_two(tmp_path):
    rated = RatedImages(find_data("ci", None, None, None, tmp_path), SIZES["ci"])
    for label, blocks in (("CLICv2 ViT-B/32", (-1,)), ("MoCo ResNet50", (2, 3)), ("CLIC Swin-B", (2, 3))):
        (row,) = [row for row in SUITES["table1"].rows if row.label == label]
        read = rated.by_likeness(runs.untrained(SIZES["ci"].recipe(row, 0))).config
        assert (read.pool.read, read.pool.size, read.pool.blocks) == ("likeness", 64, blocks)


def test_categories_of_the_rows_to_fit_on_are_what_the_category_probe_needs(tmp_path, capsys):
    data = find_data("ci", None, None, None, tmp_path)
    lines = data.ratings.read_text().splitlines()
    fit, test = data.ratings.with_name("fit.csv"), data.ratings.with_name("test.csv")
    fit.write_text("\n".join(line.rpartition(",")[0] for line in lines[:21]) + "\n")  # without categories
    test.write_text("\n".join([lines[0], *lines[21:]]) + "\n")
    assert evaluate(tmp_path, "table5", "--ratings", str(fit), "--test", str(test)) == 2
    assert "needs a category column" in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_a_second_category_of_one_image_is_refused_before_anything_is_trained(tmp_path, capsys):
    data = find_data("ci", None, None, None, tmp_path)
    head, *lines = data.ratings.read_text().splitlines()
    one = data.ratings.with_name("one.csv")
    rows = [f"{line.rpartition(',')[0]},{'b' if i == 7 else 'a'}" for i, line in enumerate(lines)]
    one.write_text("\n".join([head, *rows]) + "\n")
    assert evaluate(tmp_path, "table5", "--ratings", str(one)) == 2
    error = capsys.readouterr().err
    assert "one.csv: a category probe would be fitted on images of category a alone; give two or more of another" in error
    assert error.count("\n") == 1 and not (tmp_path / "runs").exists()


def test_the_untrained_vit_is_that_of_the_seed(tmp_path):
    recipe = SIZES["lite"].recipe(SUITES["table4"].rows[1], 1)
    ours, theirs = runs.untrained(recipe).vit.state_dict(), load_encoder("random", 1).vit.state_dict()
    assert all((ours[key] == theirs[key]).all() for key in theirs)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--seeds", "0", "0"], "--seeds 0 0: give different whole numbers"),
        (["--rows", "nothing"], "--rows 'nothing': --suite table4 has 'image-wise'"),
        (["--rows", ""], "--rows '': this is empty"),
        (["--ratings", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, what):
    assert evaluate(tmp_path, "table4", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1
    assert what in error


def test_matplotlib_is_asked_for_before_the_long_part(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert evaluate(tmp_path, "table4") == 2
    assert "needs the package matplotlib, which is not installed; pip install '.[evaluate]'" in capsys.readouterr().err
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
    pair = {"mean": 0.1, "over_seeds": [0.0, 0.2], "over_images": None}
    rows = [{"label": row.label, "paper": dict(row.paper), "ours": found, "difference": {"pcc": pair}} for row in suite.rows]
    rows[0]["ours"], rows[-1]["difference"] = {"ridge": {}}, {"pcc": None}
    about = {"suite": name, "size": "ci", "caption": suite.caption, "reference": suite.reference}
    result = {**about, "heads": ["ridge"], "rows": rows}
    figures.draw(result, tmp_path / name)
    assert (tmp_path / f"{name}.png").is_file()


def test_a_row_that_is_not_compared_has_no_dot_of_a_difference():
    pair = {"mean": 0.1, "over_seeds": [0.0, 0.2], "over_images": None}
    ours = {"ridge": {"pcc": spread([0.5, 0.6])}}
    rows = [{"label": label, "paper": {}, "ours": ours, "difference": {"pcc": None}} for label in ("reference", "one", "other")]
    rows[1]["difference"]["pcc"] = pair
    figure = Figure()
    figures._points(figure, rows, "ridge", {"reference": "reference", "heads": ["ridge"], "rows": rows})
    dots = [line.get_xydata().tolist() for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert dots == [[[0, 0]], [[0.1, 1]]]


@pytest.mark.parametrize("name", ["table4", "fig7"])
def test_a_suite_without_a_finished_row_has_no_figure(tmp_path, name):
    rows = [{"label": row.label, "paper": dict(row.paper), "ours": {}} for row in SUITES[name].rows]
    figures.draw({"suite": name, "size": "ci", "caption": "", "heads": ["ridge"], "rows": rows}, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_two_rows_that_hold_one_known_run_are_taken_their_ratings_once():
    one = {"images": "i", "rated": {"scores": "s"}, "values": "v"}
    rows = [{"predictions": {"ridge": [one]}}, {"predictions": {"ridge": [one]}}]
    assert take_rated(rows) == {"i": {"scores": "s"}} and one == {"images": "i", "values": "v"}


def test_measurements_of_two_tables_are_kept_apart(tmp_path):
    data = find_data("ci", None, None, None, tmp_path)
    other = data.ratings.with_name("other.csv")
    other.write_text("\n".join(data.ratings.read_text().splitlines()[:-1]) + "\n")
    size = SIZES["ci"]
    one, two = RatedImages(data, size), RatedImages(find_data("ci", None, other, None, tmp_path), size)
    assert one.path(tmp_path, "ridge") != two.path(tmp_path, "ridge")
