"""The README's table says what the stored results say."""

import csv
import json
import re
from pathlib import Path
from statistics import mean

from clicv2lite.evaluate.paired import adjusted
from clicv2lite.evaluate.stored import layouts_tried

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "data" / "results"


def mean_pcc(path: Path) -> float:
    return json.loads(path.read_text(encoding="utf-8"))["mean_pcc"]


def row(start: str) -> list[float]:
    """The numbers of the README's table row that starts with these words."""
    return [float(cell) for cell in cells(start) if cell]


def cells(start: str) -> list[str]:
    """What is in the README's table row that starts with these words, after its name."""
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {start}")]
    return [cell.strip(" *") for cell in line.split("|")[2:-1]]


def test_readme_quotes_the_stored_probes():
    for start, pattern in (("CLICv2", "lite/seed*/probe.json"), ("the same network", "random/seed*.json")):
        seeds = [mean_pcc(path) for path in sorted(RESULTS.glob(pattern))]
        assert len(seeds) == 3
        assert row(start) == [round(value, 3) for value in (*seeds, mean(seeds))]


def test_readme_quotes_the_stored_measure():
    measures = json.loads((RESULTS / "measures_savoias.json").read_text())["measures"]
    assert row("size of the JPEG") == [round(measures["jpeg_size"]["mean_pcc"], 3)]


def test_readme_quotes_the_model_in_the_package_and_its_rivals():
    models = ROOT / "clicv2lite" / "models"
    same = json.loads((models / "default" / "release.json").read_text())["same_folds"]
    read = {
        "the model in the package": json.loads((models / "default" / "probe.json").read_text()),
        "`lite`": json.loads((models / "lite" / "probe.json").read_text()),
        "the same reading": same["untrained"],
        "both encoders side by side": json.loads((RESULTS / "two_encoders" / "probe.json").read_text()),
        "both encoders without the zoom": json.loads((RESULTS / "nearest" / "probe.json").read_text()),
        "both encoders, as they were read first": json.loads((RESULTS / "likeness" / "probe.json").read_text()),
        "`plus`:": json.loads((models / "plus" / "probe.json").read_text()),
        "eleven": json.loads((RESULTS / "handcrafted_within.json").read_text()),
        "EfficientNet": json.loads((RESULTS / "supervised" / "efficientnet_lite0_within.json").read_text()),
    }
    for start, stored in read.items():
        low, high = stored["mean_pcc_ci"]
        assert cells(start) == [f"{stored['mean_pcc']:.3f}", f"{low:.3f} to {high:.3f}"]


def test_readme_quotes_the_searches_for_the_reading():
    first, second = layouts_tried()
    with (RESULTS / "nearest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["name"]: float(row["mean_pcc"]) for row in rows}
    unseen = {row["name"]: float(row["mean_pcc_unseen_category"] or "nan") for row in rows}
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"in two searches, of {first} tries and then of {second} more layouts" in text
    chosen = [found[name] for name in ("chosen by inner folds", "zoom chosen by inner folds")]
    assert (
        f"among those without a zoom gives {chosen[0]:.3f}, and then among five zooms and none {chosen[1]:.3f}, of the one"
        in text
    )
    assert f"of the one encoder alone {found['zoom of the second alone chosen by inner folds']:.3f};" in text
    one, both = (unseen[name] for name in ("zoom 2, second alone", "zoom 2"))
    assert f"the model in the package has {one:.3f}, and both encoders side by side {both:.3f} (chapter 14)" in text
    release = json.loads((ROOT / "clicv2lite" / "models" / "default" / "release.json").read_text())["same_folds"]
    assert round(release["unseen_category"]["mean_pcc"], 3) == round(one, 3)


def test_readme_counts_the_categories_where_plus_is_better():
    both = [
        json.loads((ROOT / "clicv2lite" / "models" / n / "probe.json").read_text())["per_category"] for n in ("plus", "default")
    ]
    more = {name: both[0][name]["pcc"] > both[1][name]["pcc"] for name in both[0]}
    assert (sum(more.values()), len(more)) == (6, 7)
    assert "higher in six of seven categories" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_says_how_long_ten_thousand_images_take():
    speed = json.loads((RESULTS / "score_speed.json").read_text(encoding="utf-8"))
    assert speed["jobs"] == 2
    minutes = 10_000 / speed["images_per_second"]["score"] / 60
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"Two cores score ten thousand small files in about {minutes:.0f} minutes." in text


def test_readme_says_what_plus_adds_to_default():
    plus, default = (mean_pcc(ROOT / "clicv2lite" / "models" / name / "probe.json") for name in ("plus", "default"))
    said = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"(mean PCC {plus:.3f} against {default:.3f} on" in said
    rows = json.loads((RESULTS / "plus.json").read_text(encoding="utf-8"))["rows"]
    (behind,) = [row["to_best"] for row in rows if row["encoder"] == "default"]
    low, high = behind["ci"]
    assert f"by {-behind['mean']:.3f}, 95 % interval {-high:.3f} to {-low:.3f})" in said


def test_readme_says_what_the_study_of_the_shift_found():
    (said,) = re.findall(r"\*\*Does shifting.*?(?=\n\n)", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    study = json.loads((RESULTS / "suites" / "shift.json").read_text(encoding="utf-8"))
    found = {one["condition"]: one["difference"] for one in study["contrasts"]}
    main, bare = found["shift to p/4, zeros"], found["no MEM"]["ridge"]
    assert f"{main['ridge']['mean']:+.3f} with pooled tokens and {main['likeness']['mean']:+.3f} with" in said
    ends = {chance: [f"{-end:.3f}" for end in reversed(bare[f"over_{chance}"])] for chance in ("seeds", "images")}
    intervals = ", ".join(f"over {chance} {low} to {high}" for chance, (low, high) in ends.items())
    assert f"costs {-bare['mean']:.3f} with pooled tokens (95 % {intervals})" in said
    whole = found["images augmented, no MEM"]
    three = (whole["ridge"], found["no MEM"]["likeness"], whole["likeness"])
    others = [f"{-one['mean']:.3f}" for one in three]
    flat = " ".join(said.split())
    assert "and {} where whole images are; {} and {} with likeness".format(*others) in flat
    asked = [one["p"] for by_head in found.values() for one in by_head.values() if one and one["p"] is not None]
    assert min(asked) < 0.05 < min(adjusted(asked)) and "that is a hint and not a verdict" in flat
    verdicts = {row["id"]: row for row in json.loads((ROOT / "data" / "claims.json").read_text(encoding="utf-8"))}
    decided = {name: row["verdict"] for name, row in verdicts.items() if row["verdict"] in ("agrees", "disagrees")}
    by_likeness = [row["by_head"]["likeness"]["verdict"] for row in verdicts.values() if "by_head" in row]
    assert not {"agrees", "disagrees"} & {*by_likeness} and by_likeness and "(with likeness none is)" in flat
    held = ("mem-adds", "patch-beats-image", "pwin-needs-sp")
    assert decided == {"pwin-alone-hurts": "disagrees", "sp-alone-helps": "disagrees"} | dict.fromkeys(held, "agrees")
    for name, sign in (("sp-alone-helps", 1), ("pwin-alone-hurts", -1), *((name, 1) for name in held)):
        assert f"({sign * verdicts[name]['pairs'][0]['mean']:+.3f}" in said


def test_readme_has_the_rows_of_table_1():
    (said,) = re.findall(r"Of Table 1 .*?(?=\n\n)", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    rows = json.loads((RESULTS / "suites" / "table1.json").read_text(encoding="utf-8"))["rows"]
    first = {row["label"]: f"{row['ours']['ridge']['pcc']['mean']:.3f}" for row in rows}
    named = [f"{name} ViT-L/16" for name in ("CLICv2", "CLIC")] + ["MoCo ResNet50", "CLIC ResNet50"]
    named += [f"CLICv2 ViT-{size}" for size in ("S/32", "B/32", "L/16*")]
    assert re.findall(r"0\.\d{3}", said) == [first[label] for label in named]
    assert len(first) == 14 and [len(row["runs"]) for row in rows] == [2] * 14


def test_the_data_card_names_every_stored_result():
    card = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    unnamed = [path.name for path in sorted(RESULTS.iterdir()) if not re.search(rf"[`/]{re.escape(path.stem)}[./_]", card)]
    assert unnamed == ["pairs_photos.json", "pairs_savoias.json"] and "`results/pairs_*.json`" in card
