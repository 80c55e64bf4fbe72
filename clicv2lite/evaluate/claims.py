"""`clicv2lite claims`: what the paper says of its tables and figures, each with a verdict from our runs (book chapter 11).

The command reads ``data/results/suites/*.json`` and writes data/claims.json. Every claim is a set of "left lies above right".
Each pair is compared by :mod:`clicv2lite.evaluate.paired`, with the same seeds, images and folds:

- *agrees*: every left is above its right. The claim's p-value is the largest of its pairs'.
- *disagrees*: one left is below its right. The p-value is the smallest of those pairs', times the number of pairs.
- *undecided*: it was measured, and the p-value does not decide, or there is none; `reason` says why.
- *not run*: a row that it speaks of was not measured, and the measured ones do not contradict it.

The p-values of all claims are adjusted together, so that of the verdicts "agrees" and "disagrees" 5 % are expected to be wrong
at most (false discovery rate).
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from clicv2lite.errors import UserError
from clicv2lite.evaluate.paired import RATE, Verdict, adjusted, alike, all_above
from clicv2lite.evaluate.pairing import as_json, paired_rows, spreads
from clicv2lite.evaluate.stored import CHECKOUT, read_json
from clicv2lite.evaluate.suites import SUITES, UNTRAINED
from clicv2lite.files import put_json
from clicv2lite.outputs import add_output

Pairs = tuple[tuple[str, str], ...]
STAND_IN = {"top1": "category_accuracy"}  # what is judged where nobody has measured the paper's number: other classes
SAME = 0.02  # "almost no change": the difference lies between -0.02 and 0.02


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
_V2 = "CLICv2 ViT-"

CLAIMS: tuple[Claim, ...] = (
    Claim("clicv2-beats-clic", "CLICv2 beats CLIC with the same ViT-L/16", "table1",
          ((f"{_V2}L/16", "CLIC ViT-L/16"),)),
    Claim("clic-beats-moco", "CLIC beats MoCo with the same ResNet50", "table1",
          (("CLIC ResNet50", "MoCo ResNet50"),)),
    Claim("vit-helps-clic", "CLIC is better with ViT-L/16 than with ResNet50", "table1",
          (("CLIC ViT-L/16", "CLIC ResNet50"),)),
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


def weigh(claim: Claim, result: Mapping[str, Any] | None) -> dict[str, Any]:
    """A claim and what was measured of it, before the verdict.

    Args:
        result: of the claim's suite, as `evaluate` writes it; None if that was not run.

    Returns:
        id, claim, source, metric (what ours is); paper and ours: label -> value, ours with the interval over seeds, None where
        the paper prints none or nothing was run; pairs: left, right, metric and their paired difference; p: of the claim, None
        where there is none; side: the verdict if p decides; verdict: the one if it does not; reason: why there is no p, or
        what was not run.
    """
    labels = list(dict.fromkeys(label for pair in claim.pairs for label in pair))
    printed = {row.label: row.paper[claim.metric] for row in SUITES[claim.suite].rows if claim.metric in row.paper}
    row: dict[str, Any] = {"id": claim.id, "claim": claim.claim, "source": claim.source, "metric": claim.metric}
    row |= {"paper": {label: printed[label] for label in labels if label in printed} or None, "ours": None, "pairs": []}
    row |= {"p": None, "q": None, "side": None, "verdict": "not run", "evidence": None}
    row["reason"] = f"not run: {', '.join(labels)}"
    if result is None:
        return row
    if all(claim.metric not in (r["ours"] or {}) for r in result["rows"]):
        row["metric"] = STAND_IN.get(claim.metric, claim.metric)
    found = {r["label"]: _numbers(r, result["heads"][0], row["metric"]) for r in result["rows"] if r["label"] in labels}
    row["ours"] = {
        label: {key: {part: numbers[key][part] for part in ("mean", "interval")} for key in numbers}
        for label, numbers in found.items() if numbers
    } or None  # fmt: skip
    if row["ours"] is None:
        return row
    missing = [label for label in labels if not found.get(label)]
    pairs = {
        (left, right, key): pair
        for left, right in claim.pairs
        for key in found.get(left) or ()
        if (pair := paired_rows(result, left, right, key))
    }
    row["pairs"] = [{"left": a, "right": b, "metric": key, **as_json(pair)} for (a, b, key), pair in pairs.items()]
    row |= {"evidence": f"data/results/suites/{claim.suite}.json", "size": result["size"], "head": result["heads"][0]}
    row["reason"] = f"not run: {', '.join(missing)}" if missing else None
    if not pairs:
        return row
    compared = list(pairs.values())
    holds, p = alike(compared, SAME) if claim.same else all_above(compared)
    if missing and holds:
        return row  # what is there does not contradict it
    row |= {"p": p, "side": "agrees" if holds else "disagrees"}
    why = next((pair.undecided for pair in compared if pair.undecided), None)
    return row if missing else row | {"verdict": "undecided", "reason": why}


def decide(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `weigh` with their verdicts: `q` is p adjusted over all claims that have one."""
    tested = [place for place, row in enumerate(rows) if row["p"] is not None]
    qs = dict(zip(tested, adjusted([rows[place]["p"] for place in tested]), strict=True))
    found = []
    for place, row in enumerate(rows):
        one, q = {key: value for key, value in row.items() if key != "side"}, qs.get(place)
        if q is not None and q <= RATE:
            one |= {"verdict": row["side"], "reason": None}
        elif q is not None and row["reason"] is None:
            one["reason"] = f"p = {row['p']:.2g}, adjusted for {len(tested)} claims: {q:.2g}"
        found.append(one | {"q": q})
    return found


def claims(folder: Path) -> list[dict[str, Any]]:
    """Every claim, judged by the suites' results that lie in a folder.

    Raises:
        UserError: if there is none, or one is not what `evaluate` writes.
    """
    paths = {name: folder / f"{name}.json" for name in SUITES}
    results = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    if not results:
        raise UserError(f"--suites {folder}: no result of `clicv2lite evaluate` is in it; name that command's --out")
    rows = []
    for claim in CLAIMS:
        try:
            rows.append(weigh(claim, results.get(claim.suite)))
        except UserError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            path = paths[claim.suite]
            raise UserError(f"{path}: not a result of `clicv2lite evaluate --suite {claim.suite}`; make it again") from None
    return decide(rows)


def counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many claims there are, and how many have each verdict, in one line."""
    a, d, u, n = (sum(row["verdict"] == verdict for row in rows) for verdict in get_args(Verdict))
    return f"{len(rows)} claims: {a} agree, {d} disagree, {u} undecided, {n} not run (false discovery rate {100 * RATE:g} %)"


def _numbers(row: Mapping[str, Any], head: str, metric: str) -> dict[str, Any]:
    """The spreads of a row that a metric names."""
    known = spreads(row, head)
    return {key: value for key, value in known.items() if key == metric or (metric == "category" and key.startswith("pcc:"))}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `claims`."""
    parser.add_argument("--suites", type=Path, default=CHECKOUT / "suites", help="folder of results (data/results/suites)")
    add_output(parser, "--json", default=CHECKOUT.parent / "claims.json", help="output (data/claims.json)")


def run(args: argparse.Namespace) -> int:
    """Judge every claim and write the file; exit status 0."""
    found = claims(args.suites)
    put_json(args.json, found)
    print(counted(found))
    return 0
