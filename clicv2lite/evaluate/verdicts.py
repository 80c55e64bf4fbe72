"""A claim of the paper against a suite's result: what was measured of it, and the verdict among all claims (chapter 15)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from clicv2lite.evaluate.paired import RATE, Verdict, adjusted, alike, all_above
from clicv2lite.evaluate.pairing import OF_A_MAP, PREDICTED, as_json, paired_rows, spreads
from clicv2lite.evaluate.suites import SUITES

Pairs = tuple[tuple[str, str], ...]
STAND_IN = {"top1": "category_accuracy"}  # what is judged where nobody has measured the paper's number: other classes
SAME = 0.02  # "almost no change": the difference lies between -0.02 and 0.02
BESIDE = (*PREDICTED, *OF_A_MAP)
"""Metrics that are measured beside the heads: another head has the same numbers."""


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


def weigh(claim: Claim, result: Mapping[str, Any] | None, head: str | None = None, evidence: str = "") -> dict[str, Any]:
    """A claim and what was measured of it, before the verdict.

    Args:
        result: of the claim's suite, as `evaluate` writes it; None if that was not run. head: None is its first one.
        evidence: the result's file.

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
    head = head or result["heads"][0]
    if all(claim.metric not in (r["ours"] or {}) for r in result["rows"]):
        row["metric"] = STAND_IN.get(claim.metric, claim.metric)
    found = {r["label"]: _numbers(r, head, row["metric"]) for r in result["rows"] if r["label"] in labels}
    row["ours"] = {
        label: {key: {part: numbers[key][part] for part in ("mean", "interval")} for key in numbers}
        for label, numbers in found.items() if numbers
    } or None  # fmt: skip
    if row["ours"] is None:
        return row
    every = dict.fromkeys(key for numbers in found.values() for key in numbers)  # categories that one row has and another lacks
    missing = [label for label in labels if not found.get(label)]
    missing += [f"{label} ({key})" for label in labels if found.get(label) for key in every if key not in found[label]]
    pairs = {
        (left, right, key): pair
        for left, right in claim.pairs
        for key in found.get(left) or ()
        if (pair := paired_rows(result, left, right, key, head))
    }
    asked = [
        (left, right, key) for left, right in claim.pairs for key in found.get(left) or () if key in (found.get(right) or ())
    ]
    missing += [f"{left} with a seed of {right}" for left, right, key in asked if (left, right, key) not in pairs]
    row["pairs"] = [{"left": a, "right": b, "metric": key, **as_json(pair)} for (a, b, key), pair in pairs.items()]
    row |= {"evidence": evidence, "size": result["size"], "head": head}
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


def counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many claims there are, and how many have each verdict, in one line."""
    a, d, u, n = (sum(row["verdict"] == verdict for row in rows) for verdict in get_args(Verdict))
    return f"{len(rows)} claims: {a} agree, {d} disagree, {u} undecided, {n} not run (false discovery rate {100 * RATE:g} %)"


def _numbers(row: Mapping[str, Any], head: str, metric: str) -> dict[str, Any]:
    """The spreads of a row that a metric names."""
    known = spreads(row, head)
    return {key: value for key, value in known.items() if key == metric or (metric == "category" and key.startswith("pcc:"))}
