"""Two rows of a result: which numbers and predictions are compared, and what keeps them from being compared."""

import numpy as np
import pytest

from clicv2lite.evaluate.comparison import compare
from clicv2lite.evaluate.paired import paired_difference
from clicv2lite.evaluate.pairing import as_json, paired_rows, spreads
from clicv2lite.evaluate.summary import spread
from clicv2lite.probe.metrics import report
from clicv2lite.probe.predictions import pack

NAMES = ["art", "text"] * 60


def result(metric="mean_pcc"):
    """Two rows of two seeds, measured by ridge and by a class probe."""
    rng = np.random.default_rng(0)
    scores, rows = rng.random(120), []
    for label, noise in (("ours", 0.2), ("theirs", 0.5)):
        made, right = scores + rng.normal(0, noise, (2, 120)), rng.random((2, 120)) < 1 - noise
        ours = {"ridge": {"pcc": spread([report(scores, one, NAMES, resamples=0)[metric] for one in made])}}
        imagenet = rng.random((2, 500)) < 1 - noise
        ours["category_accuracy"] = spread([100 * one.mean() for one in right])
        ours["top1"] = spread([100 * one.mean() for one in imagenet])
        kept = {
            kind: [{"images": "i", "folds": f"f{s}", "values": pack(one)} for s, one in enumerate(values)]
            for kind, values in (("ridge", made), ("classes", right))
        }
        kept["imagenet"] = [{"images": "j", "folds": "none", "values": pack(one)} for one in imagenet]
        rows.append({"label": label, "ours": ours, "runs": [{"seed": 0}, {"seed": 1}], "predictions": kept, "made": made})
    codes = {"names": ["art", "text"], "codes": pack(np.arange(120) % 2)}
    rated = {"i": {"scores": pack(scores), "categories": codes}, "j": {"scores": pack(np.zeros(500)), "categories": None}}
    return {"suite": "s", "heads": ["ridge"], "metric": metric, "rows": rows, "rated": rated, "scores": scores}


@pytest.mark.parametrize("metric", ["mean_pcc", "pcc"])
def test_a_pair_is_that_of_the_predictions_of_the_first_head(metric):
    one = result(metric)
    want = paired_difference(*(row["made"] for row in one["rows"]), one["scores"], NAMES, metric)
    got = paired_rows(one, "ours", "theirs")
    np.testing.assert_allclose(got.values, want.values, atol=1e-9)
    np.testing.assert_allclose(got.resampled, want.resampled, atol=1e-3)
    assert as_json(got)["p"] == got.p and as_json(got)["over_images"][0] > 0
    assert paired_rows(one, "theirs", "ours").mean == pytest.approx(-got.mean)


@pytest.mark.parametrize("metric", ["category_accuracy", "top1"])
def test_a_classifier_is_paired_by_the_images_that_it_named_right(metric):
    got = paired_rows(result(), "ours", "theirs", metric)
    assert got.mean == pytest.approx(np.mean(got.resampled), abs=1) and got.over_images[0] > 0


def test_a_number_beside_the_heads_is_found_with_those_of_the_head():
    assert set(spreads(result()["rows"][0], "ridge")) == {"pcc", "category_accuracy", "top1"}
    assert spreads({"ours": None}, "ridge") == {}


def test_what_was_not_measured_has_no_pair():
    one = result()
    assert paired_rows(one, "ours", "nobody") is None
    assert paired_rows(one, "ours", "theirs", "variance") is None
    one["rows"][1]["ours"] = None
    assert paired_rows(one, "ours", "theirs") is None


def test_a_number_of_a_map_needs_no_predictions():
    one = result()
    for row in one["rows"]:
        row["ours"]["score_r2"] = spread([0.1, 0.2])
        del row["predictions"]
    assert paired_rows(one, "ours", "theirs", "score_r2").undecided is None
    assert paired_rows(one, "ours", "theirs").undecided == "no predictions stored: no interval over images"


@pytest.mark.parametrize("key", ["images", "folds"])
def test_other_images_or_folds_are_not_compared_image_by_image(key):
    one = result()
    one["rows"][1]["predictions"]["ridge"][1][key] = "other"
    got = paired_rows(one, "ours", "theirs")
    assert got.resampled is None and got.undecided.startswith("other images or folds") and got.over_seeds


def test_rows_are_paired_by_the_seeds_that_both_have():
    one = result()
    right = one["rows"][1]
    right["runs"] = [{"seed": 1}, {"seed": 7}]  # its first run is the partner of the left row's second
    for seeds in right["predictions"].values():
        for kept in seeds:
            kept["folds"] = kept["folds"].replace("f0", "f1")
    got, values = paired_rows(one, "ours", "theirs"), [row["ours"]["ridge"]["pcc"]["values"] for row in one["rows"]]
    assert got.values == (pytest.approx(values[0][1] - values[1][0]),) and got.over_seeds is None
    want = paired_difference(one["rows"][0]["made"][1:], right["made"][:1], one["scores"], NAMES, "mean_pcc")
    np.testing.assert_allclose(got.resampled, want.resampled, atol=1e-3)
    right["runs"] = [{"seed": 5}, {"seed": 7}]
    assert paired_rows(one, "ours", "theirs") is None


def test_another_head_has_its_own_difference():
    one = result()
    for row in one["rows"]:
        row["predictions"]["likeness"] = list(reversed(row["predictions"]["ridge"]))
        row["ours"]["likeness"] = {"pcc": spread([v / 2 for v in row["ours"]["ridge"]["pcc"]["values"]])}
    first, other = paired_rows(one, "ours", "theirs"), paired_rows(one, "ours", "theirs", head="likeness")
    assert other.mean == pytest.approx(first.mean / 2) and first.mean == paired_rows(one, "ours", "theirs", head="ridge").mean
    assert paired_rows(one, "ours", "theirs", head="icnet") is None


@pytest.mark.parametrize(("printed", "said"), [(0.9, "agrees"), (0.7, "disagrees")])
def test_a_row_agrees_where_it_lies_on_the_papers_side_of_the_reference_row(printed, said):
    one = result() | {"reference": "theirs"}
    ours, theirs = one["rows"]
    for row, paper, measured in ((ours, printed, 0.8), (theirs, 0.8, 0.5)):
        row["paper"] = {"pcc": paper}
        row["ours"]["ridge"]["pcc"] = spread([measured, measured + 0.01])
    compare(one)
    assert ours["direction"]["pcc"] == said and ours["difference"]["pcc"]["mean"] == pytest.approx(0.3)
    assert theirs["direction"]["pcc"] is theirs["difference"]["pcc"] is ours["direction"]["top1"] is None
