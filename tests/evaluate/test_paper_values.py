"""The paper's tables as data: complete, consistent with what its text says of them, and printed so where we have that text."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

import clicv2lite
from clicv2lite.evaluate.paper_values import paper_caption, paper_settings, paper_table
from clicv2lite.heads.icnet import IcnetTraining
from clicv2lite.recipes.library import get_recipe

STORED = json.loads((Path(clicv2lite.__file__).parent / "evaluate" / "paper_values.json").read_text())


def row(number, **wanted):
    (found,) = [r for r in paper_table(number) if all(r[key] == value for key, value in wanted.items())]
    return found


def test_each_table_has_its_rows_and_a_caption():
    assert [len(paper_table(number)) for number in range(1, 6)] == [13, 6, 5, 2, 9]
    for number in range(1, 6):
        assert len({tuple(r) for r in paper_table(number)}) == 1, "columns differ from row to row"
        assert all(0.7 < r["srcc"] <= r["pcc"] < r["srcc"] + 0.02 for r in paper_table(number))
        assert paper_caption(number)


def test_unknown_table_is_named():
    with pytest.raises(ValueError, match="tables 1 to 5, not 6"):
        paper_table(6)


def test_a_reader_may_change_the_rows():
    paper_table(1)[0]["pcc"] = 0
    assert paper_table(1)[0]["pcc"] == 0.873


def test_the_same_run_has_the_same_figures_in_every_table():
    full = {"pcc": 0.865, "srcc": 0.857}
    row(1, backbone="ViT-B/32", **full)
    row(2, sp=True, pwin=True, mem=True, **full)
    row(4, loss="patch-wise", **full)
    row(5, target="entropy", weight=paper_settings()["weight"], **full)
    without = row(2, sp=True, pwin=True, mem=False)
    row(5, target="none", pcc=without["pcc"], srcc=without["srcc"])


def test_differences_are_those_that_the_paper_prints():
    """Section 4.3: (e) is 0.061 and 0.064 above (a). Section 4.4: 3.3 points of top-1. Table 5 prints the gains at weight 1."""
    gain = {key: row(2, case="e")[key] - row(2, case="a")[key] for key in ("pcc", "srcc")}
    assert gain == pytest.approx({"pcc": 0.061, "srcc": 0.064})
    assert row(3, augmentation="image")["top1"] - row(3, case="b")["top1"] == pytest.approx(3.3)
    for target, printed in {"pixels": (0.012, 0.011, 11.3), "entropy": (0.019, 0.020, 2.0)}.items():
        full, none = row(5, target=target, weight=1.0), row(5, target="none")
        assert [full[key] - none[key] for key in ("pcc", "srcc", "top1")] == pytest.approx(printed)


def test_settings_are_those_of_the_recipe_and_of_the_head():
    recipe, head, paper = get_recipe("vit-b32"), IcnetTraining(), paper_settings()
    images = 1_000_000 * paper["images_million"]
    assert recipe.passes == paper["epochs"] * images and recipe.warmup == paper["warmup_epochs"] * images
    same = {
        "mask_ratio": recipe.mask_ratio,
        "temperature": recipe.temperature,
        "key_momentum": recipe.momentum,
        "weight": recipe.auxiliary_weight,
        "input_size": recipe.size,
        "batch": recipe.batch,
        "learning_rate": recipe.lr,
        "beta1": recipe.beta1,
        "beta2": recipe.beta2,
        "weight_decay": recipe.weight_decay,
        "probe_batch": head.batch_size,
        "probe_momentum": head.momentum,
        "probe_weight_decay": head.weight_decay,
        "probe_learning_rate": head.lr,
        "probe_epochs": head.epochs,
    }
    assert same == {name: paper[name] for name in same}


def paper_text() -> str:
    folder = os.environ.get("CLICV2LITE_DATA")
    path = Path(folder or ".").parent / "paper.txt"
    if not folder or not path.is_file():
        pytest.skip("the paper's text does not lie beside the folder that CLICV2LITE_DATA names")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(1, 6))
def test_every_row_of_a_table_stands_in_the_papers_text_in_this_order(number):
    numbers = re.findall(r"(?<![\d.])(\d+\.\d+)(?![\d.])", paper_text())
    printed = [float(n) for n in numbers]
    wanted = [r[key] for r in paper_table(number) for key in ("weight", "pcc", "srcc", "top1") if isinstance(r.get(key), float)]
    starts = [i for i, value in enumerate(printed) if value == wanted[0]]
    assert any(in_order(wanted, printed[start : start + len(wanted) + 4]) for start in starts), wanted


def in_order(wanted, printed):
    """Whether the numbers come one after the other, with few others between them (table 5 prints gains)."""
    rest = iter(printed)
    return all(any(value == other for other in rest) for value in wanted)


def test_every_setting_stands_in_the_papers_text():
    printed = Counter(float(n) for n in re.findall(r"(?<![\d.])\d+(?:\.\d+)?(?![\d]|\.\d)", paper_text()))
    for name, setting in STORED["settings"].items():
        assert printed[setting["value"]], name
