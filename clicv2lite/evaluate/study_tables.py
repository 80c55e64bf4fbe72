"""What a study's result has beside the table of its rows, as Markdown: its contrasts, and the reader of offsets."""

from collections.abc import Mapping
from typing import Any

from clicv2lite.evaluate.cells import difference_cells, line


def study_tables(result: Mapping[str, Any]) -> str:
    """The tables of a result that has them; else no text."""
    return "".join(f"\n{text}\n" for text in (_contrasts(result), _offsets(result)) if text)


def _contrasts(result: Mapping[str, Any]) -> str:
    if not result.get("contrasts"):
        return ""
    head = ["condition", "compared"]
    for name in result["heads"]:
        head += [f"difference, {name}", "95 % over seeds", "95 % over images", "pairs"]
    lines = ["**Paired differences of PCC: the same seeds, images and folds on both sides**", "", line(head)]
    lines.append(line(["---"] * len(head)))
    for one in result["contrasts"]:
        cells = [one["condition"], f"{one['left']} - {one['right']}"]
        for name in result["heads"]:
            found = one["difference"][name]
            cells += [*difference_cells(found), f"{len(found['values'])}"] if found else ["not run", "", "", "0"]
        lines.append(line(cells))
    return "\n".join(lines)


def _offsets(result: Mapping[str, Any]) -> str:
    rows = [row for row in result["rows"] if "offsets" in row]
    if not rows:
        return ""
    depth = max(len(values) for row in rows for values in row["offsets"]["r2"].values())
    head = ["encoder", "what enters", *(f"block {block + 1}" for block in range(depth))]
    title = "**How much of a cell's offset a linear reader finds in its token: R^2 on held-out images, mean over seeds**"
    lines = [title, "", line(head), line(["---"] * len(head))]
    for row in rows:
        for fill, values in row["offsets"]["r2"].items():
            cells = [f"{one['mean']:.3f}" for one in values]
            lines.append(line([row["label"], fill, *cells, *[""] * (depth - len(cells))]))
    return "\n".join(lines)
