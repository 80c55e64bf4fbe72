"""Claims: the paper's values, verdicts on hand-made results, the file in the repository."""

import json
from pathlib import Path

import numpy as np
import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate.claims import CLAIMS, claims, counted, decide, weigh
from clicv2lite.evaluate.paper_values import paper_table
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.evaluate.summary import spread
from clicv2lite.probe.predictions import pack

STORED = Path(__file__).parents[2] / "data" / "claims.json"
RATE_TEXT = "false discovery rate 5 %"
COLUMNS = {"id", "claim", "source", "paper", "ours", "verdict", "evidence", "pairs", "p", "q", "reason"}


def claim(name):
    (found,) = [c for c in CLAIMS if c.id == name]
    return found


CLASSIFIERS = {"top1": "imagenet", "category_accuracy": "classes"}  # their predictions


def spot(value, seeds=3, noise=0.001, where=0):
    """Numbers of a few seeds near a value."""
    return [value + noise * (s - (seeds - 1) / 2) * (1 + where / 10) for s in range(seeds)]


def result(suite, metric="pcc", seeds=3, images=True, noise=0.001, **values):
    """A suite's result around each value, label -> value; with predictions whose correlations are in their order."""
    rng = np.random.default_rng(0)
    scores, rows, kind = np.linspace(0, 1, 400), [], CLASSIFIERS.get(metric, "ridge")
    shared = rng.normal(size=400)
    for where, (label, value) in enumerate(values.items()):
        numbers = {metric: spread(spot(value, seeds, noise, where))}
        row = {"label": label, "ours": numbers if metric in (*CLASSIFIERS, "class_agreement") else {"ridge": numbers}}
        # a correlation of about `value` with the scores, or a share of about `value` percent
        made = (shared < (value - 50) / 50) if metric in CLASSIFIERS else value * 3.46 * scores + np.sqrt(1 - value**2) * shared
        kept = [{"images": "i", "folds": f"f{s}", "values": pack(made)} for s in range(seeds)]
        row |= {"runs": [{"seed": s} for s in range(seeds)], "predictions": {kind: kept} if images else {}}
        rows.append(row)
    about = {"suite": suite, "size": "lite", "heads": ["ridge"], "metric": "mean_pcc", "rows": rows}
    codes = {"names": ["art", "text"], "codes": pack(np.arange(400) % 2)}
    return about | {"rated": {"i": {"scores": pack(scores), "categories": codes}}}


def judge(one, found):
    """The verdict on a claim, as if it were the only one."""
    (row,) = decide([weigh(one, found)])
    return row


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


PATCH = "patch-wise"
IMAGE = "image-wise"


def test_verdicts_by_hand():
    beats = claim("patch-beats-image")
    row = judge(beats, result("table4", **{PATCH: 0.7, IMAGE: 0.6}))
    assert (row["verdict"], row["reason"]) == ("agrees", None)
    assert judge(beats, result("table4", **{PATCH: 0.6, IMAGE: 0.7}))["verdict"] == "disagrees"
    close = judge(beats, result("table4", noise=0.01, **{PATCH: 0.7, IMAGE: 0.6995}))
    assert close["verdict"] == "undecided" and close["reason"].startswith("p = ")
    assert close["ours"][PATCH]["pcc"]["mean"] == pytest.approx(0.7)
    (pair,) = row["pairs"]
    assert (pair["left"], pair["right"], pair["metric"]) == (PATCH, IMAGE, "pcc")
    assert pair["mean"] == pytest.approx(0.1) and pair["p"] == row["p"] == row["q"]


def test_a_paired_difference_decides_where_two_intervals_overlap():
    """Seeds differ by much more than the two rows of one seed do."""
    found = result("table4", noise=0.05, **{PATCH: 0.7, IMAGE: 0.66})
    (a, b), (c, d) = (row["ours"]["ridge"]["pcc"]["interval"] for row in found["rows"])
    assert a < d and c < b
    assert judge(claim("patch-beats-image"), found)["verdict"] == "agrees"


def test_seeds_alone_do_not_decide():
    """The seeds differ clearly, the images do not; and the other way round."""
    found = result("table4", **{PATCH: 0.7, IMAGE: 0.69})
    found["rows"][0]["predictions"]["ridge"] = found["rows"][1]["predictions"]["ridge"]
    row = judge(claim("patch-beats-image"), found)
    assert row["verdict"] == "undecided" and row["pairs"][0]["over_seeds"][0] > 0 >= row["pairs"][0]["over_images"][0]
    assert judge(claim("patch-beats-image"), result("table4", seeds=1, **{PATCH: 0.7, IMAGE: 0.5}))["reason"] == (
        "one seed: no interval over seeds"
    )


def test_without_stored_predictions_nothing_is_decided_and_the_interval_over_seeds_is_still_told():
    row = judge(claim("patch-beats-image"), result("table4", images=False, **{PATCH: 0.7, IMAGE: 0.5}))
    assert (row["verdict"], row["p"], row["q"]) == ("undecided", None, None)
    assert row["reason"] == "no predictions stored: no interval over images"
    assert row["pairs"][0]["over_seeds"][0] > 0 and row["pairs"][0]["over_images"] is None


def test_what_was_not_measured_is_not_run_with_a_reason():
    row = judge(claim("patch-beats-image"), None)
    assert (row["verdict"], row["ours"], row["evidence"]) == ("not run", None, None)
    assert row["reason"] == "not run: patch-wise, image-wise"
    half = judge(claim("patch-beats-image"), result("table4", **{PATCH: 0.7}))
    assert (half["verdict"], half["reason"], half["p"]) == ("not run", "not run: image-wise", None)


def test_a_claim_about_several_rows_can_be_refuted_but_not_confirmed_by_some_of_them():
    best = claim("mask-0.6-best")
    some = {"mask ratio 0.6": 0.6, "mask ratio 0.2": 0.5}
    row = judge(best, result("fig6", **some))
    assert (row["verdict"], row["reason"], row["p"]) == ("not run", "not run: mask ratio 0.4, mask ratio 0.8", None)
    against = judge(best, result("fig6", **some | {"mask ratio 0.2": 0.7}))
    assert (against["verdict"], against["reason"]) == ("disagrees", None)
    unclear = judge(best, result("fig6", noise=0.02, **some | {"mask ratio 0.2": 0.602}))
    assert (unclear["verdict"], unclear["reason"]) == ("not run", "not run: mask ratio 0.4, mask ratio 0.8")


def test_a_claim_about_every_category_is_not_run_without_one_that_only_one_row_has():
    c = next(c for c in CLAIMS if c.metric == "category")
    left, right = c.pairs[0]
    numbers = {"pcc:A": spread(spot(0.9)), "pcc:B": spread(spot(0.8))}
    parts = {left: {"pcc:A": numbers["pcc:A"]}, right: {key: spread(spot(0.5)) for key in numbers}}
    found = result(c.suite, **{label: 0.5 for pair in c.pairs for label in pair})
    for row in found["rows"]:
        row["ours"] = {"ridge": parts.get(row["label"], numbers)}
    row = judge(c, found)
    assert (row["verdict"], row["reason"]) == ("not run", f"not run: {left} (pcc:B)")


def test_best_needs_every_other_row_below_and_one_above_refutes_it():
    best, ratios = claim("mask-0.6-best"), {f"mask ratio {r}": 0.5 for r in (0.2, 0.4, 0.8)}
    assert judge(best, result("fig6", **ratios, **{"mask ratio 0.6": 0.65}))["verdict"] == "agrees"
    assert judge(best, result("fig6", **ratios | {"mask ratio 0.8": 0.8}, **{"mask ratio 0.6": 0.65}))["verdict"] == "disagrees"
    tie = result("fig6", noise=0.01, **ratios | {"mask ratio 0.8": 0.65}, **{"mask ratio 0.6": 0.65})
    assert judge(best, tie)["verdict"] == "undecided"


def test_every_category_must_agree():
    everywhere = claim("clicv2-beats-clic-everywhere")
    made = result("fig5", "pcc:art", CLICv2=0.8, CLIC=0.6)
    assert judge(everywhere, made)["verdict"] == "agrees"
    for row, value in zip(made["rows"], (0.8, 0.6), strict=True):
        row["ours"]["ridge"]["pcc:text"] = spread(spot(value))
    assert [pair["metric"] for pair in judge(everywhere, made)["pairs"]] == ["pcc:art", "pcc:text"]
    assert judge(everywhere, made)["verdict"] == "agrees"
    for row, value in zip(made["rows"], (0.5, 0.6), strict=True):
        row["ours"]["ridge"]["pcc:text"] = spread(spot(value))
    assert judge(everywhere, made)["verdict"] == "undecided"  # seeds say no, images say yes


def test_no_change_is_a_difference_within_the_margin_by_both_tests():
    same = claim("image-augmentation-same")
    left, right = same.pairs[0]
    assert judge(same, result("table3", **{left: 0.600, right: 0.603}))["verdict"] == "agrees"
    assert judge(same, result("table3", **{left: 0.60, right: 0.75}))["verdict"] == "disagrees"
    found = result("table3", **{left: 0.600, right: 0.603})
    found["rows"][0]["ours"][found["heads"][0]]["pcc"] = spread([0.55, 0.6, 0.65])
    assert judge(same, found)["verdict"] == "undecided"


def test_accuracy_on_classes_is_judged_by_the_category_probe_and_says_so_unless_imagenet_was_measured():
    lower, values = claim("entropy-lowers-classes"), {"pixels 1.0": 60.0, "entropy 1.0": 45.0}
    measured, stand_in = (judge(lower, result("table5", key, **values)) for key in ("top1", "category_accuracy"))
    assert (measured["verdict"], measured["metric"]) == ("agrees", "top1")
    assert (stand_in["verdict"], stand_in["metric"]) == ("agrees", "category_accuracy")
    for row in (measured, stand_in):
        assert set(row["ours"]["pixels 1.0"]) == {row["metric"]} == {pair["metric"] for pair in row["pairs"]}
        assert row["pairs"][0]["over_images"][0] > 0
    assert stand_in["paper"] == measured["paper"] == {"pixels 1.0": 42.2, "entropy 1.0": 32.9}


def test_a_number_of_a_map_is_judged_by_seeds_alone():
    row = judge(claim("less-class-clustering"), result("fig7", "class_agreement", images=False, CLIC=0.7, CLICv2=0.6))
    assert row["verdict"] == "agrees" and row["pairs"][0]["over_images"] is None


def test_rows_of_other_images_or_folds_are_not_paired():
    for key in ("images", "folds"):
        found = result("table4", **{PATCH: 0.7, IMAGE: 0.6})
        found["rows"][0]["predictions"]["ridge"][1][key] = "other"
        row = judge(claim("patch-beats-image"), found)
        assert (row["verdict"], row["reason"]) == ("undecided", "other images or folds: no interval over images")


def test_the_false_discovery_rate_is_controlled_over_all_claims_that_were_tested():
    def weighed(p, side="agrees"):
        return {"id": "x", "p": p, "side": side, "verdict": "undecided", "reason": None}

    untested = {"id": "y", "p": None, "side": None, "verdict": "not run", "reason": "not run: z"}
    rows = decide([weighed(0.03), *(weighed(0.9) for _ in range(3)), untested, weighed(0.001, "disagrees")])
    assert [row["verdict"] for row in rows] == [*["undecided"] * 4, "not run", "disagrees"]
    assert rows[0]["q"] == pytest.approx(0.03 * 5 / 2) and rows[0]["reason"] == "p = 0.03, adjusted for 5 claims: 0.075"
    assert rows[4]["q"] is None and not any("side" in row for row in rows)
    assert decide([weighed(0.03)])[0]["verdict"] == "agrees"


def test_the_count_names_every_verdict():
    rows = [{"verdict": word} for word in ("agrees", "undecided", "not run", "not run")]
    assert counted(rows) == "4 claims: 1 agree, 0 disagree, 1 undecided, 2 not run (false discovery rate 5 %)"


def test_the_command_writes_what_claims_returns(tmp_path, capsys):
    (tmp_path / "table4.json").write_text(json.dumps(result("table4", **{PATCH: 0.7, IMAGE: 0.6})))
    assert main(["claims", "--suites", str(tmp_path), "--json", str(tmp_path / "out" / "claims.json")]) == 0
    written = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert written == claims(tmp_path)
    assert sum(row["verdict"] == "agrees" for row in written) == 1
    assert capsys.readouterr().out == f"{len(CLAIMS)} claims: 1 agree, 0 disagree, 0 undecided, 38 not run ({RATE_TEXT})\n"


@pytest.mark.parametrize("text", ["{}", '{"heads": ["ridge"], "rows": [{}]}', '{"rows": 3}'])
def test_a_file_that_is_no_result_is_one_line_that_names_it(tmp_path, capsys, text):
    (tmp_path / "table4.json").write_text(text)
    assert main(["claims", "--suites", str(tmp_path), "--json", str(tmp_path / "claims.json")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and "table4.json: not a result of" in error and error.count("\n") == 1
    assert not (tmp_path / "claims.json").exists()


def test_rows_with_other_seeds_are_judged_by_those_that_they_share():
    found = result("table4", **{PATCH: 0.7, IMAGE: 0.6})
    found["rows"][0]["runs"] = [{"seed": s} for s in (0, 1, 5)]
    (pair,) = judge(claim("patch-beats-image"), found)["pairs"]
    assert len(pair["values"]) == 2 and pair["mean"] == pytest.approx(0.1, abs=0.01)
    found["rows"][0]["runs"] = [{"seed": s} for s in (5, 6, 7)]
    row = judge(claim("patch-beats-image"), found)
    assert (row["verdict"], row["reason"]) == ("not run", "not run: patch-wise with a seed of image-wise")


def test_best_is_not_confirmed_where_one_row_shares_no_seed():
    found = result("fig6", **{f"mask ratio {r}": 0.5 for r in (0.2, 0.4, 0.8)}, **{"mask ratio 0.6": 0.65})
    found["rows"][0]["runs"] = [{"seed": s} for s in (5, 6, 7)]
    row = judge(claim("mask-0.6-best"), found)
    assert (row["verdict"], row["reason"]) == ("not run", "not run: mask ratio 0.6 with a seed of mask ratio 0.2")


def test_every_head_has_verdicts_of_its_own_with_a_rate_of_its_own(tmp_path, capsys):
    found = result("table4", **{PATCH: 0.7, IMAGE: 0.6})
    found["heads"] = ["ridge", "likeness"]
    for row, other in zip(found["rows"], reversed(found["rows"]), strict=True):
        row["ours"]["likeness"], row["predictions"]["likeness"] = other["ours"]["ridge"], other["predictions"]["ridge"]
    (tmp_path / "table4.json").write_text(json.dumps(found))
    assert main(["claims", "--suites", str(tmp_path), "--json", str(tmp_path / "claims.json")]) == 0
    rows = {row["id"]: row for row in json.loads((tmp_path / "claims.json").read_text())}
    row = rows["patch-beats-image"]
    assert row["verdict"] == "agrees" and row["by_head"]["likeness"]["verdict"] == "disagrees"
    assert row["by_head"]["likeness"]["q"] == row["by_head"]["likeness"]["p"]  # the only one that was tested
    assert row["by_head"]["likeness"]["pairs"][0]["mean"] == pytest.approx(-row["pairs"][0]["mean"])
    assert rows["mask-0.6-best"]["by_head"]["likeness"]["verdict"] == "not run"
    assert "by_head" not in rows["entropy-lowers-classes"]  # no head reads the classes
    assert "read by likeness: " in capsys.readouterr().out


def test_a_damaged_second_head_is_one_line_too(tmp_path, capsys):
    found = result("table4", **{PATCH: 0.7, IMAGE: 0.6}) | {"heads": ["ridge", "likeness"]}
    for row in found["rows"]:
        row["ours"]["likeness"] = {"pcc": {"values": ["x", "y", "z"]}}
    (tmp_path / "table4.json").write_text(json.dumps(found))
    assert main(["claims", "--suites", str(tmp_path), "--json", str(tmp_path / "claims.json")]) == 2
    error = capsys.readouterr().err
    assert "table4.json: not a result of" in error and error.count("\n") == 1


def test_a_folder_without_results_is_one_line_and_nothing_is_written(tmp_path, capsys):
    assert main(["claims", "--suites", str(tmp_path / "typo"), "--json", str(tmp_path / "claims.json")]) == 2
    assert "typo: no result of" in capsys.readouterr().err and not (tmp_path / "claims.json").exists()


def rounded(value):
    """Its numbers to nine decimals: releases of SciPy differ in the twelfth."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 9) if isinstance(value, float) else value


def test_the_evidence_is_the_file_that_was_read_and_outside_the_repository_nothing_is_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "_results" / "suites").mkdir(parents=True)
    found = result("table4", **{PATCH: 0.7, IMAGE: 0.6})
    (tmp_path / "_results" / "suites" / "table4.json").write_text(json.dumps(found))
    monkeypatch.chdir(tmp_path)
    evidence = {row["evidence"] for row in claims(Path("_results/suites"))}
    assert evidence == {None, "_results/suites/table4.json"}
    monkeypatch.setattr("clicv2lite.evaluate.claims.CHECKOUT", tmp_path / "data" / "results")  # as a wheel has it
    monkeypatch.setattr("clicv2lite.evaluate.stored.CARRIED", tmp_path / "_results")
    assert main(["claims"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in printed if row["id"] == "patch-beats-image"] == ["agrees"]
    assert {path.name for path in tmp_path.iterdir()} == {"_results"}


def test_results_of_ones_own_leave_the_stored_claims_alone(tmp_path, monkeypatch, capsys):
    stored, mine = tmp_path / "data" / "results", tmp_path / "mine"
    for folder, ours in ((stored / "suites", 0.6), (mine, 0.8)):
        folder.mkdir(parents=True)
        (folder / "table4.json").write_text(json.dumps(result("table4", **{PATCH: 0.7, IMAGE: ours})))
    monkeypatch.setattr("clicv2lite.evaluate.claims.CHECKOUT", stored)
    monkeypatch.setattr("clicv2lite.evaluate.stored.CARRIED", stored)
    assert main(["claims"]) == 0 and "1 agree" in capsys.readouterr().out
    before = (tmp_path / "data" / "claims.json").read_bytes()
    assert main(["claims", "--suites", str(mine)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in printed if row["id"] == "patch-beats-image"] == ["disagrees"]
    assert (tmp_path / "data" / "claims.json").read_bytes() == before


def test_the_stored_file_is_what_the_stored_results_say():
    stored = json.loads(STORED.read_text())
    assert rounded(stored) == rounded(claims(STORED.parent / "results" / "suites"))
    assert all(set(row) >= COLUMNS for row in stored)
    for row in stored:
        assert row["evidence"] is None or (STORED.parents[1] / row["evidence"]).is_file()
        assert bool(row["reason"]) == (row["verdict"] in ("undecided", "not run"))


def test_one_stored_run_has_one_number_in_every_suite():
    seen = {}
    for path in (STORED.parent / "results" / "suites").glob("*.json"):
        found = json.loads(path.read_text())
        for row in found["rows"]:
            values = ((row["ours"] or {}).get(found["heads"][0]) or {}).get("pcc", {}).get("values", ())
            for run, value in zip(row["runs"], values, strict=False):
                first = seen.setdefault(run.get("key", (row["label"], run["seed"])), value)
                assert first == pytest.approx(value, abs=1e-12), (path.name, row["label"])
    assert len(seen) > 50
