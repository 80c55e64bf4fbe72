"""Claims: the paper's values, verdicts on hand-made results, the file in the repository."""

import json
from pathlib import Path

import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate.claims import CLAIMS, claims, judge
from clicv2lite.evaluate.paper_values import paper_table
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.evaluate.summary import spread

STORED = Path(__file__).parents[2] / "data" / "claims.json"
COLUMNS = {"id", "claim", "source", "paper", "ours", "verdict", "evidence"}


def claim(name):
    (found,) = [c for c in CLAIMS if c.id == name]
    return found


def result(suite, metric="pcc", **values):
    """A suite's result with three near-equal seeds around each value, label -> value (blanks for underscores)."""
    rows = []
    for label, value in values.items():
        numbers = {metric: spread([value - 0.001, value, value + 0.001])}
        ours = numbers if metric in ("top1", "category_accuracy", "class_agreement") else {"ridge": numbers}
        rows.append({"label": label, "ours": None if value is None else ours})
    return {"suite": suite, "size": "lite", "heads": ["ridge"], "rows": rows}


def test_ids_are_unique_and_labels_exist():
    assert len({c.id for c in CLAIMS}) == len(CLAIMS)
    for c in CLAIMS:
        labels = {row.label for row in SUITES[c.suite].rows}
        assert c.pairs
        assert {label for pair in c.pairs for label in pair} <= labels, c.id
    assert {c.suite for c in CLAIMS} == set(SUITES)


@pytest.mark.parametrize("c", CLAIMS, ids=lambda c: c.id)
def test_the_papers_own_values_agree_with_the_claim(c):
    """Read as our result, what the paper prints must bear out what it says."""
    printed = {row.label: row.paper.get(c.metric) for row in SUITES[c.suite].rows}
    for left, right in c.pairs if c.suite.startswith("table") else ():
        assert printed[left] == printed[right] if c.same else printed[left] > printed[right]


def test_values_of_the_paper_are_its_tables():
    for c in CLAIMS:
        paper = judge(c, None)["paper"]
        if not c.suite.startswith("table"):
            assert paper is None
            continue
        labels = [row.label for row in SUITES[c.suite].rows]
        table = paper_table(int(c.suite[-1]))
        assert paper == {label: table[labels.index(label)][c.metric] for pair in c.pairs for label in pair}


def test_verdicts_by_hand():
    beats = claim("patch-beats-image")
    assert judge(beats, result("table4", **{"patch-wise": 0.7, "image-wise": 0.6}))["verdict"] == "agrees"
    assert judge(beats, result("table4", **{"patch-wise": 0.6, "image-wise": 0.7}))["verdict"] == "disagrees"
    close = judge(beats, result("table4", **{"patch-wise": 0.7005, "image-wise": 0.7}))
    assert (close["verdict"], close["reason"]) == ("undecided", "intervals overlap")
    assert close["evidence"] == "data/results/suites/table4.json"
    assert close["ours"]["patch-wise"]["pcc"]["mean"] == pytest.approx(0.7005)


def test_what_was_not_run_is_undecided_with_a_reason():
    row = judge(claim("patch-beats-image"), None)
    assert (row["verdict"], row["ours"], row["evidence"], row["reason"]) == ("undecided", None, None, "not run")
    half = judge(claim("patch-beats-image"), result("table4", **{"patch-wise": 0.7}))
    assert (half["verdict"], half["reason"]) == ("undecided", "not run: image-wise")


def test_best_needs_every_other_row_below_and_one_above_refutes_it():
    best, ratios = claim("mask-0.6-best"), {f"mask ratio {r}": 0.6 for r in (0.2, 0.4, 0.8)}
    assert judge(best, result("fig6", **ratios, **{"mask ratio 0.6": 0.65}))["verdict"] == "agrees"
    assert judge(best, result("fig6", **ratios | {"mask ratio 0.8": 0.7}, **{"mask ratio 0.6": 0.65}))["verdict"] == "disagrees"
    assert (
        judge(best, result("fig6", **ratios | {"mask ratio 0.8": 0.65}, **{"mask ratio 0.6": 0.65}))["verdict"] == "undecided"
    )


def test_every_category_must_agree():
    everywhere = claim("clicv2-beats-clic-everywhere")
    made = result("fig5", "pcc:art", CLICv2=0.7, CLIC=0.6)
    assert judge(everywhere, made)["verdict"] == "agrees"
    for row, value in zip(made["rows"], (0.5, 0.6), strict=True):
        row["ours"]["ridge"]["pcc:text"] = spread([value, value + 0.001])
    assert judge(everywhere, made)["verdict"] == "disagrees"


def test_no_change_needs_narrow_intervals_close_together():
    same = claim("image-augmentation-same")
    left, right = same.pairs[0]
    assert judge(same, result("table3", **{left: 0.600, right: 0.605}))["verdict"] == "agrees"
    assert judge(same, result("table3", **{left: 0.60, right: 0.65}))["verdict"] == "disagrees"
    wide = result("table3", **{left: 0.6, right: 0.6})
    wide["rows"][0]["ours"]["ridge"]["pcc"] = spread([0.5, 0.6, 0.7])
    assert judge(same, wide)["verdict"] == "undecided"


def test_accuracy_on_classes_is_judged_by_the_category_probe_and_says_so_unless_imagenet_was_measured():
    lower, values = claim("entropy-lowers-classes"), {"pixels 1.0": 50.0, "entropy 1.0": 45.0}
    measured, stand_in = (judge(lower, result("table5", key, **values)) for key in ("top1", "category_accuracy"))
    assert (measured["verdict"], measured["metric"]) == ("agrees", "top1")
    assert (stand_in["verdict"], stand_in["metric"]) == ("agrees", "category_accuracy")
    assert set(stand_in["ours"]["pixels 1.0"]) == {"category_accuracy"} and set(measured["ours"]["pixels 1.0"]) == {"top1"}
    assert stand_in["paper"] == measured["paper"] == {"pixels 1.0": 42.2, "entropy 1.0": 32.9}


def test_the_command_writes_what_claims_returns(tmp_path, capsys):
    (tmp_path / "table4.json").write_text(json.dumps(result("table4", **{"patch-wise": 0.7, "image-wise": 0.6})))
    assert main(["claims", "--suites", str(tmp_path), "--json", str(tmp_path / "out" / "claims.json")]) == 0
    written = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert written == claims(tmp_path)
    assert sum(row["verdict"] == "agrees" for row in written) == 1
    assert capsys.readouterr().out.startswith("1 agrees, 0 disagrees, ")


def test_a_folder_without_results_is_one_line_and_nothing_is_written(tmp_path, capsys):
    assert main(["claims", "--suites", str(tmp_path / "typo"), "--json", str(tmp_path / "claims.json")]) == 2
    assert "typo: no result of" in capsys.readouterr().err and not (tmp_path / "claims.json").exists()


def test_the_stored_file_is_what_the_stored_results_say():
    stored = json.loads(STORED.read_text())
    assert stored == claims(STORED.parent / "results" / "suites")
    assert all(set(row) >= COLUMNS for row in stored)
    for row in stored:
        assert row["evidence"] is None or (STORED.parents[1] / row["evidence"]).is_file()
        assert row["verdict"] != "undecided" or row["reason"]
