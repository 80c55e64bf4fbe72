"""`clicv2lite claims`: what the paper says of its tables and figures, each with a verdict from our runs (book chapter 15).

The command reads ``data/results/suites/*.json`` and, in the repository, writes data/claims.json; results of one's own
(`--suites`) go to the screen, or where `--json` says. Every claim is a set of
"left lies above right". Each pair is compared by :mod:`clicv2lite.evaluate.paired`, with the same seeds, images and folds:

- *agrees*: every left is above its right. The claim's p-value is the largest of its pairs'.
- *disagrees*: one left is below its right. The p-value is the smallest of those pairs', times the number of pairs.
- *undecided*: it was measured, and the p-value does not decide, or there is none; `reason` says why.
- *not run*: a row that it speaks of was not measured, and the measured ones do not contradict it.

A result with several heads has the verdicts of the first one; `by_head` has those of the others.

The p-values of all claims are adjusted together, so that of the verdicts "agrees" and "disagrees" 5 % are expected to be wrong
at most (false discovery rate).
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError
from clicv2lite.evaluate.stored import CHECKOUT, read_json, stored_results
from clicv2lite.evaluate.suites import SUITES, UNTRAINED
from clicv2lite.evaluate.verdicts import BESIDE, Claim, Pairs, counted, decide, weigh
from clicv2lite.files import below, put_json
from clicv2lite.outputs import add_output


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


def claims(folder: Path) -> list[dict[str, Any]]:
    """Every claim, judged by the suites' results that lie in a folder.

    Raises:
        UserError: if there is none, or one is not what `evaluate` writes.
    """
    paths = {name: folder / f"{name}.json" for name in SUITES}
    results = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    if not results:
        raise UserError(f"--suites {folder}: no result of `clicv2lite evaluate` is in it; name that command's --out")
    rows = decide([_weigh(claim, results, paths) for claim in CLAIMS])
    heads = dict.fromkeys(head for result in results.values() for head in result["heads"][1:])
    for head in heads:  # its verdicts have a false discovery rate of their own
        read = [place for place, claim in enumerate(CLAIMS) if claim.metric not in BESIDE]
        for place, row in zip(read, decide([_weigh(CLAIMS[place], results, paths, head) for place in read]), strict=True):
            rows[place].setdefault("by_head", {})[head] = {key: row[key] for key in ("verdict", "reason", "p", "q", "pairs")}
    return rows


def _weigh(
    claim: Claim, results: Mapping[str, Mapping[str, Any]], paths: Mapping[str, Path], head: str | None = None
) -> dict[str, Any]:
    """`weigh`, where a file that is no result is a user's mistake; a head that a result lacks was not run."""
    try:
        result = results.get(claim.suite)
        return weigh(
            claim, None if result and head and head not in result["heads"] else result, head, _evidence(paths[claim.suite])
        )
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        path = paths[claim.suite]
        raise UserError(f"{path}: not a result of `clicv2lite evaluate --suite {claim.suite}`; make it again") from None


def _evidence(path: Path) -> str:
    """A result's file, as seen from the repository's root where it lies below it."""
    whole, root = Path(os.path.abspath(path)), CHECKOUT.parents[1]
    return below(whole if whole.is_relative_to(root) else path, root)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `claims`."""
    parser.add_argument("--suites", type=Path, help="folder of results (default: the stored ones, data/results/suites)")
    json_help = "output (default: data/claims.json of the repository; with --suites, or outside of it, the screen)"
    add_output(parser, "--json", help=json_help)


def run(args: argparse.Namespace) -> int:
    """Judge every claim and write the file; exit status 0."""
    found = claims(args.suites or stored_results() / "suites")
    stored = CHECKOUT.parent / "claims.json" if CHECKOUT.is_dir() and not args.suites else None
    out = args.json or stored
    put_json(out, found)
    if out is None:
        return 0
    print(counted(found))
    for head in dict.fromkeys(head for row in found for head in row.get("by_head", ())):
        print(f"read by {head}: {counted([row['by_head'][head] for row in found if head in row.get('by_head', ())])}")
    return 0
