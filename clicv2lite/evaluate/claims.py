"""`clicv2lite claims`: what the paper says of its tables and figures, each with a verdict from our runs (book chapter 11).

The command reads ``data/results/suites/*.json`` and writes data/claims.json. Every claim is a set of "left lies above right",
each decided over seeds by :func:`clicv2lite.evaluate.summary.above`. The claim agrees if all of them do, and disagrees if one
of them does.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError
from clicv2lite.evaluate.stored import CHECKOUT, read_json
from clicv2lite.evaluate.suites import SUITES, UNTRAINED
from clicv2lite.evaluate.summary import Verdict, above
from clicv2lite.files import check_output_file, write_json

Pairs = tuple[tuple[str, str], ...]
STAND_IN = {"top1": "category_accuracy"}  # what is judged where nobody has measured the paper's number: other classes
SAME = 0.02  # "almost no change": both intervals within a band of this width


@dataclass(frozen=True)
class Claim:
    """One directional statement of the paper."""

    id: str
    claim: str
    suite: str
    pairs: Pairs  # labels of rows: the left one lies above the right one
    metric: str = "pcc"  # or top1 (see STAND_IN), variance, class_agreement, score_r2; `category`: pcc in every category
    same: bool = False  # the claim is that they do not differ

    @property
    def source(self) -> str:
        """Where in the paper."""
        return self.suite.replace("table", "Table ").replace("fig", "Figure ")


def _best(suite: str, label: str, without: Sequence[str] = ()) -> Pairs:
    others = [row.label for row in SUITES[suite].rows if row.label not in (label, UNTRAINED.label, *without)]
    return tuple((label, other) for other in others)


def _rising(*labels: str) -> Pairs:
    return tuple(zip(labels[1:], labels[:-1], strict=True))


_SUPERVISED = [row.label for row in SUITES["table1"].rows if row.baseline]
_A, _B, _C, _D, _E, _F = (row.label for row in SUITES["table2"].rows[:6])
_3A, _3B, _3C, _3D, _3E = (row.label for row in SUITES["table3"].rows[:5])
_RESNET = "ResNet50 (here ViT-B)"
_V2 = "CLICv2 ViT-"

CLAIMS: tuple[Claim, ...] = (
    Claim("clicv2-beats-clic", "CLICv2 beats CLIC with the same ViT-L/16", "table1",
          ((f"{_V2}L/16", "CLIC ViT-L/16"),)),
    Claim("clic-beats-moco", "CLIC beats MoCo with the same ResNet50", "table1",
          ((f"CLIC {_RESNET}", f"MoCo {_RESNET}"),)),
    Claim("vit-helps-clic", "CLIC is better with ViT-L/16 than with ResNet50", "table1",
          (("CLIC ViT-L/16", f"CLIC {_RESNET}"),)),
    Claim(
        "clicv2-best-unsupervised", "CLICv2 with CLIC's augmentation of the data set is the best unsupervised method", "table1",
        _best("table1", f"{_V2}L/16*", _SUPERVISED),
    ),
    Claim("larger-is-better", "CLICv2 improves from ViT-S/32 to ViT-B/32 to ViT-L/16", "table1",
          _rising(f"{_V2}S/32", f"{_V2}B/32", f"{_V2}L/16")),
    Claim("tiling-helps", "CLIC's augmentation of the data set improves CLICv2", "table1",
          ((f"{_V2}L/16*", f"{_V2}L/16"),)),
    Claim("supervised-leads", "The best supervised method is ahead of CLICv2", "table1",
          (("ICCORN ResNet152", f"{_V2}L/16*"),)),
    Claim("iccorn-best", "ICCORN is the best supervised method", "table1",
          tuple(("ICCORN ResNet152", label) for label in _SUPERVISED if label != "ICCORN ResNet152")),
    Claim("sp-alone-helps", "Shifted patchify alone improves the baseline", "table2", ((_B, _A),)),
    Claim("mem-alone-helps", "Masked entropy modeling alone improves the baseline", "table2", ((_D, _A),)),
    Claim("pwin-alone-hurts", "The patch-wise loss alone makes the baseline worse", "table2", ((_A, _C),)),
    Claim("sp-and-pwin-help", "Shifted patchify with the patch-wise loss improves the baseline", "table2", ((_E, _A),)),
    Claim("pwin-needs-sp", "With shifted patchify the patch-wise loss helps", "table2", ((_E, _B),)),
    Claim("mem-adds", "Masked entropy modeling improves shifted patchify with the patch-wise loss", "table2",
          ((_F, _E),)),
    Claim("all-parts-best", "All parts together are best", "table2", _best("table2", _F)),
    Claim("shift-and-augmentation-best", "Shift with augmentation of patches is best", "table3", _best("table3", _3E)),
    Claim("shift-alone-helps", "Shift without augmentation improves the baseline", "table3", ((_3D, _3A),)),
    Claim("patch-augmentation-helps", "Augmentation of patches without shift improves the baseline", "table3",
          ((_3B, _3A),)),
    Claim("image-augmentation-same", "Augmentation of images leaves PCC as it is", "table3", ((_3C, _3A),), same=True),
    Claim("image-augmentation-classes", "Augmentation of images raises accuracy on classes above that of patches", "table3",
          ((_3C, _3B),), "top1"),
    Claim("shift-lowers-classes", "Shift with augmentation of patches has the lowest accuracy on classes", "table3",
          tuple((other, label) for label, other in _best("table3", _3E)), "top1"),
    Claim("patch-beats-image", "The patch-wise loss beats the image-wise loss", "table4",
          (("patch-wise", "image-wise"),)),
    Claim("entropy-helps", "Entropy as target improves PCC", "table5", (("entropy 1.0", "none"),)),
    Claim("pixels-help", "Pixels as target improve PCC", "table5", (("pixels 1.0", "none"),)),
    Claim("frequency-helps", "Frequencies as target improve PCC", "table5", (("frequency 1.0", "none"),)),
    Claim("entropy-beats-pixels", "At weight 1 entropy improves PCC more than pixels do", "table5",
          (("entropy 1.0", "pixels 1.0"),)),
    Claim("entropy-weight-2-best", "Entropy with weight 2 is best", "table5", _best("table5", "entropy 2.0")),
    Claim("entropy-weight-rises", "PCC rises with the weight of entropy", "table5",
          _rising("entropy 0.1", "entropy 0.5", "entropy 1.0", "entropy 2.0")),
    Claim("pixels-weight-rises", "PCC rises with the weight of pixels", "table5",
          _rising("pixels 0.1", "pixels 0.5", "pixels 1.0")),
    Claim("targets-raise-classes", "Every target raises accuracy on classes", "table5",
          tuple((other, label) for label, other in _best("table5", "none")), "top1"),
    Claim("pixels-raise-classes-most", "Pixels with weight 1 raise accuracy on classes most", "table5",
          _best("table5", "pixels 1.0"), "top1"),
    Claim("entropy-lowers-classes", "At weight 1 the entropy target lowers accuracy on classes against pixels", "table5",
          (("pixels 1.0", "entropy 1.0"),), "top1"),
    Claim("clicv2-beats-clic-everywhere", "CLICv2 beats CLIC in every semantic category", "fig5",
          (("CLICv2", "CLIC"),), "category"),
    Claim("icnet-leads", "ICNet, supervised, is ahead of CLICv2", "fig5", (("ICNet", "CLICv2"),)),
    Claim("lower-variance-than-clic", "CLICv2 has a lower variance over categories than CLIC", "fig5",
          (("CLIC", "CLICv2"),), "variance"),
    Claim("icnet-highest-variance", "ICNet has the highest variance over categories", "fig5",
          _best("fig5", "ICNet"), "variance"),
    Claim("mask-0.6-best", "Mask ratio 0.6 is best", "fig6", _best("fig6", "mask ratio 0.6")),
    Claim("less-class-clustering", "In t-SNE, classes cluster less with CLICv2 than with CLIC", "fig7",
          (("CLIC", "CLICv2"),), "class_agreement"),
    Claim("smoother-complexity", "In t-SNE, complexity changes more gradually with CLICv2 than with CLIC", "fig7",
          (("CLICv2", "CLIC"),), "score_r2"),
)  # fmt: skip
"""In the order of the paper's tables and figures."""


def judge(claim: Claim, result: Mapping[str, Any] | None) -> dict[str, Any]:
    """A claim as a row of data/claims.json.

    Args:
        result: of the claim's suite, as `evaluate` writes it; None if that was not run.

    Returns:
        id, claim, source, metric (what ours is); paper and ours: label -> value, ours with interval, None where the paper
        prints none or nothing was run; verdict: agrees, disagrees or undecided; evidence: the file; reason: why undecided.
    """
    labels = list(dict.fromkeys(label for pair in claim.pairs for label in pair))
    printed = {row.label: row.paper[claim.metric] for row in SUITES[claim.suite].rows if claim.metric in row.paper}
    row: dict[str, Any] = {"id": claim.id, "claim": claim.claim, "source": claim.source, "metric": claim.metric}
    row |= {"paper": {label: printed[label] for label in labels if label in printed} or None, "ours": None}
    row |= {"verdict": "undecided", "evidence": None, "reason": None}
    if result is None:
        return row | {"reason": "not run"}
    head = result["heads"][0]
    rows = {r["label"]: r for r in result["rows"]}
    if all(claim.metric not in (r["ours"] or {}) for r in rows.values()):
        row["metric"] = STAND_IN.get(claim.metric, claim.metric)
    found = {label: _numbers(rows[label]["ours"], head, row["metric"]) for label in labels if label in rows}
    found = {label: numbers for label, numbers in found.items() if numbers}
    row |= {"evidence": f"data/results/suites/{claim.suite}.json", "size": result["size"], "head": head}
    row["ours"] = {
        label: {key: {part: numbers[key][part] for part in ("mean", "interval")} for key in numbers}
        for label, numbers in found.items()
    } or None
    if row["ours"] is None:
        return row | {"evidence": None, "reason": f"not run: {', '.join(labels)}"}
    verdicts = [
        _same(found[left][key], found[right][key]) if claim.same else above(found[left][key], found[right][key])
        for left, right in claim.pairs
        if left in found and right in found
        for key in found[left]
        if key in found[right]
    ]
    if "disagrees" in verdicts:
        return row | {"verdict": "disagrees"}
    if missing := [label for label in labels if label not in found]:
        return row | {"reason": f"not run: {', '.join(missing)}"}
    if "undecided" in verdicts:
        one = any(part["interval"] is None for numbers in found.values() for part in numbers.values())
        return row | {"reason": "a single seed has no interval" if one else "intervals overlap"}
    return row | {"verdict": "agrees"}


def claims(folder: Path) -> list[dict[str, Any]]:
    """Every claim, judged by the suites' results that lie in a folder; UserError if there is none."""
    paths = {name: folder / f"{name}.json" for name in SUITES}
    results = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    if not results:
        raise UserError(f"--suites {folder}: no result of `clicv2lite evaluate` is in it; name that command's --out")
    return [judge(claim, results.get(claim.suite)) for claim in CLAIMS]


def _numbers(ours: Mapping[str, Any] | None, head: str, metric: str) -> dict[str, Any]:
    """The spreads of a row that a metric names."""
    known = {**(ours or {}), **(ours or {}).get(head, {})}
    return {key: value for key, value in known.items() if key == metric or (metric == "category" and key.startswith("pcc:"))}


def _same(left: Mapping[str, Any], right: Mapping[str, Any]) -> Verdict:
    if left["interval"] is None or right["interval"] is None:
        return "undecided"
    (a, b), (c, d) = left["interval"], right["interval"]
    if max(b, d) - min(a, c) <= SAME:
        return "agrees"
    return "disagrees" if b < c or d < a else "undecided"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `claims`."""
    parser.add_argument("--suites", type=Path, default=CHECKOUT / "suites", help="folder of results (data/results/suites)")
    parser.add_argument("--json", type=Path, default=CHECKOUT.parent / "claims.json", help="output (data/claims.json)")


def run(args: argparse.Namespace) -> int:
    """Judge every claim and write the file; exit status 0."""
    found = claims(args.suites)
    check_output_file(args.json, "--json")
    write_json(args.json, found)
    counts = {verdict: sum(row["verdict"] == verdict for row in found) for verdict in ("agrees", "disagrees", "undecided")}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 0
