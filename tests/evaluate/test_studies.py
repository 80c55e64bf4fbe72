"""The study of the shift as data, and its whole path at the smallest size."""

import json

import pytest

from clicv2lite.cli import main
from clicv2lite.evaluate.pairing import as_json, paired_rows
from clicv2lite.evaluate.sizes import SIZES
from clicv2lite.evaluate.studies import EVERY_SUITE, STUDIES
from clicv2lite.evaluate.suites import SUITES

SHIFT = STUDIES["shift"]
ROWS = {row.label: row for row in SHIFT.rows}


def recipe(label, size="lite"):
    return SIZES[size].recipe(ROWS[label], 0)


def test_a_study_is_no_table_of_the_papers():
    assert not set(STUDIES) & set(SUITES) and list(EVERY_SUITE) == [*SUITES, *STUDIES]
    for suite in STUDIES.values():
        assert "not in the paper" in suite.caption and not any(row.paper for row in suite.rows)
        assert len({row.label for row in suite.rows}) == len(suite.rows) and suite.reference in {r.label for r in suite.rows}


@pytest.mark.parametrize("size", SIZES)
def test_every_row_is_a_recipe_at_every_size(size):
    for row in SHIFT.rows:
        assert SIZES[size].recipe(row, 3).seed == 3


@pytest.mark.parametrize("size", ["lite", "full"])
def test_a_contrast_differs_by_the_shift_alone(size):
    for one in SHIFT.contrasts:
        left, right = (recipe(label, size).flat() for label in (one.left, one.right))
        assert {key for key in left if left[key] != right[key]} <= {"max_shift", "fill"} and right["max_shift"] == 0
        assert left["max_shift"] != 0


def test_rows_are_what_their_labels_say():
    assert [recipe(f"shift {how}").max_shift for how in ("by 1 px", "to 2 px", "to 8 px")] == [1, 2, 8]
    plain = recipe("shift to p/4, zeros")
    assert plain.views.shift_limit == plain.patch // 4 == 4
    assert [recipe(f"shift to p/4, {fill} pixels").fill for fill in ("edge", "image")] == ["edge", "image"]
    assert recipe("patches twice the side, shift").patch == 32 and recipe("patches twice the side, shift").size == plain.size
    assert [recipe(f"{time} the passes, shift").passes for time in ("quarter of", "four times")] == [16_384, 262_144]
    assert plain == SIZES["lite"].recipe(SUITES["table2"].rows[5], 0)  # case (f)
    assert recipe("no MEM, shift") == SIZES["lite"].recipe(SUITES["table2"].rows[4], 0)  # case (e)
    assert recipe("images augmented, no MEM, no shift") == SIZES["lite"].recipe(SUITES["table2"].rows[2], 0)  # case (c)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Two rows of two seeds, and a third that has only the second seed."""
    out = tmp_path_factory.mktemp("shift")
    assert evaluate(out, "--rows", "shift by 1 px", "--seeds", "0", "1") == 0
    assert evaluate(out, "--rows", "shift to 2 px", "--seeds", "1") == 0
    return out


def evaluate(out, *more):
    words = ["evaluate", "--suite", "shift", "--size", "ci", "--images", "worlds:16", "--out", str(out)]
    return main([*words, "--heads", "ridge", "likeness", *more])


def test_only_what_is_finished_is_reported_and_pairs_have_the_seeds_of_both(out, monkeypatch, capsys):
    monkeypatch.setattr("clicv2lite.evaluate.runs.pretrain", None)  # nothing is trained
    capsys.readouterr()
    assert evaluate(out, "--only-finished", "--seeds", "0", "1", "2") == 0
    result, table = json.loads((out / "shift.json").read_text()), capsys.readouterr().out
    rows = {row["label"]: row for row in result["rows"]}
    assert list(rows) == list(ROWS)
    seeds = {label: [run["seed"] for run in row["runs"]] for label, row in rows.items()}
    assert (seeds["no shift"], seeds["shift by 1 px"], seeds["shift to 2 px"]) == ([0, 1], [0, 1], [1])
    assert seeds["untrained ViT"] == [0, 1, 2] and seeds["conv-pool, shift"] == [] and rows["conv-pool, shift"]["ours"] is None
    contrasts = {one["condition"]: one for one in result["contrasts"]}
    assert list(contrasts) == [one.condition for one in SHIFT.contrasts]
    for head in ("ridge", "likeness"):
        pair = contrasts["shift by 1 px"]["difference"][head]
        assert pair == as_json(paired_rows(result, "shift by 1 px", "no shift", head=head))
        values = [rows[label]["ours"][head]["pcc"]["values"] for label in ("shift by 1 px", "no shift")]
        assert pair["values"] == pytest.approx([a - b for a, b in zip(*values, strict=True)])
        assert len(contrasts["shift to 2 px"]["difference"][head]["values"]) == 1
        assert contrasts["conv-pool"]["difference"][head] is None
    assert rows["shift by 1 px"]["by_head"]["likeness"]["difference"] == contrasts["shift by 1 px"]["difference"]["likeness"]
    lines = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in table.splitlines() if line.startswith("| ")}
    assert lines["conv-pool"][2] == "not run" and "not run" in lines["conv-pool, shift"]
    assert lines["untrained ViT"][1] == "image"  # the table of offsets is the last one
    head = next(line for line in table.splitlines() if line.startswith("|  | seeds |"))
    assert head.count("ours, ridge") == head.count("ours, likeness") == 1 and head.count("minus reference") == 2
    assert "Directions are" not in table  # the paper says nothing of these rows
    assert (out / "shift.md").read_text() == table.removesuffix("\n") and "<svg" in (out / "shift.svg").read_text()


def test_the_reader_of_offsets_is_stored_for_every_row_and_block(out):
    assert evaluate(out, "--only-finished", "--seeds", "0", "1") == 0
    for row in json.loads((out / "shift.json").read_text())["rows"]:
        if row["ours"]:
            assert set(row["offsets"]["r2"]) == {"zeros", "edge", "image"} and row["offsets"]["limit"] == 2
            assert all(len(blocks) == 2 and all(one["mean"] < 1 for one in blocks) for blocks in row["offsets"]["r2"].values())


def test_likeness_is_the_ridge_of_probe_with_those_settings(out, tmp_path):
    assert evaluate(out, "--only-finished", "--seeds", "0") == 0
    row = json.loads((out / "shift.json").read_text())["rows"][0]
    words = ["probe", "--encoder", str(out / "runs" / row["runs"][0]["key"]), "--ratings", str(out / "ci" / "ratings.csv")]
    assert main([*words, "--folds", "2", "--json", str(tmp_path / "p.json"), "--set", *SIZES["ci"].likeness]) == 0
    assert json.loads((tmp_path / "p.json").read_text())["mean_pcc"] == row["ours"]["likeness"]["pcc"]["mean"]


def test_an_encoder_without_tokens_is_missing_for_that_head_alone(out, monkeypatch, capsys):
    from clicv2lite.encoders.frozen import FrozenEncoder
    from clicv2lite.errors import UserError

    read_as = FrozenEncoder.read_as

    def refuse(self, pooling):
        if pooling.get("pool_read") == "likeness":
            raise UserError("--set pool_read=likeness: it has no tokens")
        return read_as(self, pooling)

    monkeypatch.setattr(FrozenEncoder, "read_as", refuse)
    for path in (out / "runs").rglob("likeness-*.json"):
        path.unlink()
    capsys.readouterr()
    assert evaluate(out, "--only-finished", "--seeds", "0") == 0
    row = json.loads((out / "shift.json").read_text())["rows"][0]
    assert set(row["ours"]) == {"ridge"} and "it has no tokens" in row["lacks"]["likeness"]
    assert " | missing | " in capsys.readouterr().out
