"""Suites as data: rows and values of the paper, settings that recipes accept, runs that suites share."""

import re

import pytest

from clicv2lite.errors import UserError
from clicv2lite.evaluate.paper_values import paper_settings, paper_table
from clicv2lite.evaluate.sizes import SIZES, find_data
from clicv2lite.evaluate.suites import SUITES, UNTRAINED
from clicv2lite.learners import METHODS


def recipe(suite, label, size="lite", seed=0):
    (row,) = [row for row in SUITES[suite].rows if row.label == label]
    return SIZES[size].recipe(row, seed)


@pytest.mark.parametrize("number", range(1, 6))
def test_a_table_has_the_papers_rows_and_values_in_order_and_an_untrained_vit(number):
    rows = SUITES[f"table{number}"].rows
    printed = [{key: row[key] for key in ("pcc", "srcc", "top1") if row.get(key) is not None} for row in paper_table(number)]
    assert [dict(row.paper) for row in rows] == [*printed, {}]
    assert rows[-1] is UNTRAINED


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_labels_differ_and_the_reference_is_one_of_them(suite):
    labels = [row.label for row in suite.rows]
    assert len(set(labels)) == len(labels)
    assert suite.reference in labels


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_every_row_is_a_recipe_that_the_command_line_accepts(size):
    for suite in SUITES.values():
        for row in suite.rows:
            assert row.baseline or size.recipe(row, 3).seed == 3  # get_recipe refuses what does not fit


def test_case_f_patch_wise_entropy_2_and_ratio_06_are_one_run():
    full = recipe("table2", "(f) SP + PwIN + MEM")
    assert full == recipe("table4", "patch-wise") == recipe("table5", "entropy 2.0") == recipe("fig6", "mask ratio 0.6")
    assert full == recipe("fig5", "CLICv2") == recipe("fig7", "CLICv2") == recipe("table1", "CLICv2 ViT-B/32")
    assert recipe("table2", "(e) SP + PwIN") == recipe("table5", "none")


def test_full_runs_are_the_papers():
    full = recipe("table2", "(f) SP + PwIN + MEM", "full")
    said = paper_settings()
    assert (full.mask_ratio, full.auxiliary_weight, full.batch) == (said["mask_ratio"], said["weight"], said["batch"])
    assert full.passes == said["epochs"] * said["images_million"] * 1e6
    assert recipe("table3", "(e) shift, augmentation patch", "full").passes == 200 * 1_500_000
    assert [recipe("table1", f"CLICv2 ViT-{shape}", "full").name for shape in ("S/32", "B/32", "L/16", "L/16*")] == [
        "vit-s32", "vit-b32", "vit-l16", "vit-l16-star"
    ]  # fmt: skip


def test_a_case_of_table_2_lacks_exactly_the_parts_that_it_leaves_out():
    full = recipe("table2", "(f) SP + PwIN + MEM")
    for printed, row in zip(paper_table(2), SUITES["table2"].rows, strict=False):
        got = recipe("table2", row.label)
        assert (got.max_shift != 0, got.augment == "patch") == (printed["sp"], printed["sp"])
        assert (got.compare == "patch", got.target == "entropy") == (printed["pwin"], printed["mem"])
        assert got.mask_ratio == full.mask_ratio


@pytest.mark.parametrize(
    ("size", "environment", "what"),
    [
        ("full", "/nowhere", "--images: --size full needs it"),
        ("lite", None, "--images: --size lite needs it, or set CLICV2LITE_DATA"),
        ("lite", "/nowhere", "/nowhere/photos: no tars of images"),
    ],
)
def test_missing_data_are_named_with_what_to_do(tmp_path, monkeypatch, size, environment, what):
    monkeypatch.delenv("CLICV2LITE_DATA", raising=False)
    if environment:
        monkeypatch.setenv("CLICV2LITE_DATA", environment)
    with pytest.raises(UserError, match=re.escape(what)):
        find_data(size, None, None, None, tmp_path)


def test_a_test_table_alone_is_refused(tmp_path):
    with pytest.raises(UserError, match="give the table to fit on"):
        find_data("ci", None, None, tmp_path / "test.csv", tmp_path)


def test_a_row_says_what_it_was_built_from_and_with_whose_settings_it_runs():
    notes = {row.label: row.note for row in SUITES["table1"].rows}
    abstracts = [label for label, note in notes.items() if "abstract" in note]
    assert abstracts == ["Kyle et al.", "P2P-FM", "ICCORN ResNet152"]
    assert notes["Kyle et al."] == notes["ICCORN ResNet152"] == "built from its abstract alone"
    for suite in SUITES.values():
        for row in suite.rows:
            assert ("built from" in row.note) == (row.baseline is not None)
            for method in ("moco", "clic"):
                assert (f"not method={method}_published" in row.note) == (f"method={method}" in row.settings)
            assert ("mosaics" in row.note) == (row.shape == "L*")


@pytest.mark.parametrize("method", ["moco", "clic"])
def test_the_settings_that_a_note_names_are_a_method(method):
    assert f"{method}_published" in METHODS
