"""The rows as a table, for a terminal and as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ("work", "peer", "ours", "peer's", "peer / ours", "pairs", "on both sides", "only ours", "only the peer")
ABOUT = "peer / ours: above 1, ours is faster; median over pairs in turn, and the interval that holds it in 95 of 100 cases"


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row in words; a failed one says why in the place of its numbers."""
    head = row["name"], f"{row['peer']} {row['version']}".strip()
    unlike = row["same"], row["ours"], row["theirs"]
    if row["failed"]:
        return *head, "", "", f"not measured: {row['failed']}", "", *unlike
    low, high = row["interval"]
    return *head, amount(row, "ours"), amount(row, "peer"), f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})", \
        str(len(row["rounds"]["ours"])), *unlike  # fmt: skip


def amount(row: Mapping[str, Any], side: str) -> str:
    """Times, operations and memory of a side, as far as they were counted."""
    parts = [f"{row['seconds'][side] * 1e3:,.1f} ms"]
    parts += [f"{row['processor'][side] * 1e3:,.1f} ms of all cores"] if row["processor"] else []
    parts += [f"{row['flops'][side] / 1e9:,.1f} GFLOP"] if row["flops"] else []
    parts += [f"{row['memory'][side] / 1e6:,.0f} MB"] if row["memory"] else []
    return ", ".join(parts)


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """For a terminal: a line with the numbers, and those below it that say what they mean."""
    found = [ABOUT]
    for row in rows:
        name, peer, ours, theirs, ratio, pairs, *unlike = cells(row)
        numbers = f"ours {ours}; peer {theirs}; ratio {ratio}, {pairs} pairs" if pairs else ratio
        found += [f"\n{name} | {peer}", f"  {numbers}"]
        found += [f"  {what}: {words}" for what, words in zip(HEAD[-3:], unlike, strict=True) if words]
    return "\n".join(found)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """For a page."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, rows)]
    table = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    return f"{ABOUT[0].upper()}{ABOUT[1:]}.\n\n{table}"
