"""What the rows of a suite's result say against each other: differences from the reference row, and contrasts (chapter 15)."""

from collections.abc import Mapping, Sequence
from typing import Any

from clicv2lite.evaluate.pairing import as_json, paired_rows
from clicv2lite.evaluate.suites import Contrast
from clicv2lite.evaluate.summary import direction

PRINTED = {"pcc": "pcc", "top1": "top1", "category_accuracy": "top1"}
"""Number of ours that is compared with the reference row's -> the paper's number beside it."""


def compare(result: dict[str, Any]) -> None:
    """Enter each row's paired difference from the reference row, and whether it lies on the side that the paper prints.

    Those of the first head are the row's `difference` and `direction`; `by_head` has the PCC's of every other head. A direction
    is None where the paper prints no two values, and "not run" where one of the two rows was not measured.
    """
    (base,) = [row for row in result["rows"] if row["label"] == result["reference"]]
    for row in result["rows"]:
        row["difference"], row["direction"] = dict.fromkeys(PRINTED), dict.fromkeys(PRINTED)
        for key in PRINTED if row is not base else ():
            row["difference"][key], row["direction"][key] = _against(result, row, base, key, result["heads"][0])
        row["by_head"] = {}
        for head in result["heads"][1:]:
            pair = _against(result, row, base, "pcc", head) if row is not base else (None, None)
            row["by_head"][head] = dict(zip(("difference", "direction"), pair, strict=True))


def contrast(result: Mapping[str, Any], contrasts: Sequence[Contrast]) -> list[dict[str, Any]]:
    """The paired differences that a suite asks for: condition, left, right, and head -> difference, None if it was not run."""
    found = []
    for one in contrasts:
        pairs = {head: paired_rows(result, one.left, one.right, head=head) for head in result["heads"]}
        by_head = {head: pair and as_json(pair) for head, pair in pairs.items()}
        found.append({"condition": one.condition, "left": one.left, "right": one.right, "difference": by_head})
    return found


def _against(
    result: Mapping[str, Any], row: Mapping[str, Any], base: Mapping[str, Any], key: str, head: str
) -> tuple[dict[str, Any] | None, str | None]:
    """A row minus the reference row: the difference as JSON, and its direction."""
    printed, pair = PRINTED[key], paired_rows(result, row["label"], base["label"], key, head)
    found = None if pair is None else as_json(pair)
    if printed not in row["paper"] or printed not in base["paper"]:
        return found, None
    return found, direction(row["paper"][printed] - base["paper"][printed], pair) if pair else "not run"
