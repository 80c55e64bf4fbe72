"""A suite's figure: points beside the paper's, a curve over mask ratios, bars by category, t-SNE (CLICv2, figures 5 to 7)."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from clicv2lite.evaluate.summary import of_head
from clicv2lite.extras import extra

BLUE, ORANGE, GRAY = "#0072b2", "#e69f00", "#767676"
COLOURS = ("#e69f00", "#56b4e9", "#0072b2", "#bbbbbb")  # told apart by everybody (Okabe and Ito)


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw a suite's result into path.png and path.svg; nothing where no row of it is finished.

    Args:
        result: what `evaluate` writes as JSON. path: without suffix.
    """
    with extra("evaluate"):
        import matplotlib
        from matplotlib.figure import Figure

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "clicv2lite"  # the same drawing gives the same bytes
    suite, heads = result["suite"], result["heads"][:1] if result["suite"] == "fig7" else result["heads"]
    need = () if suite in ("fig5", "fig7") else ("pcc",)  # a collapsed run has no PCC
    by_head = {head: [row for row in result["rows"] if _has(row, head, need)] for head in heads}
    shown = {head: rows for head, rows in by_head.items() if rows}
    if not shown:
        return
    figure = Figure(figsize=(10, 4.5 * len(shown)), layout="constrained")
    parts = figure.subfigures(len(shown), squeeze=False)[:, 0] if len(shown) > 1 else [figure]
    for part, (head, rows) in zip(parts, shown.items(), strict=True):
        PANELS.get(suite, _points)(part, rows, head, result)
    if suite == "fig7":
        figure.set_size_inches(8, 3.2 * len(shown[heads[0]]))
    figure.suptitle("\n".join(wrap(f"{result['caption']} (size {result['size']})", 100)), fontsize=10)
    figure.savefig(path.with_suffix(".png"), dpi=150)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def _has(row: Mapping[str, Any], head: str, need: tuple[str, ...]) -> bool:
    return bool(row["ours"]) and head in row["ours"] and all(key in row["ours"][head] for key in need)


def _points(figure: Any, rows: list[dict[str, Any]], head: str, result: Mapping[str, Any]) -> None:
    """Ours, seeds and mean; the paired difference from the reference, which decides; the paper's. Each on its own scale."""
    paper = [(place, row["paper"]["pcc"]) for place, row in enumerate(rows) if "pcc" in row["paper"]]
    left, middle, *right = figure.subplots(1, 3 if paper else 2, sharey=True)
    for place, row in enumerate(rows):
        found, pair = row["ours"][head]["pcc"], of_head(row, head, result["heads"])["difference"]
        left.plot(found["range"], [place, place], color=BLUE)
        left.plot(found["values"], [place] * len(found["values"]), "|", color=BLUE, ms=10)
        left.plot(found["mean"], place, "o", color=BLUE)
        for ends, shift, colour in ((pair["over_seeds"], -0.12, BLUE), (pair["over_images"], 0.12, ORANGE)) if pair else ():
            middle.plot(ends or [], [place + shift] * len(ends or []), color=colour, lw=3, solid_capstyle="butt")
        if pair or row["label"] == result["reference"]:  # which differs by 0 from itself
            middle.plot(pair["mean"] if pair else 0, place, "o", color=BLUE if pair else GRAY, ms=4)
    left.set(xlabel=f"PCC, ours ({head}), mean and seeds", yticks=range(len(rows)), yticklabels=[row["label"] for row in rows])
    left.invert_yaxis()
    middle.axvline(0, color=GRAY, lw=1)
    middle.set_xlabel(f"minus {result['reference']}: 95 % over\nseeds (blue), over images (orange)")
    for axes in right:
        axes.plot([value for _, value in paper], [place for place, _ in paper], "D", color=GRAY)
        axes.set_xlabel("PCC, the paper's, on IC9600")
    for axes in (left, middle, *right):
        axes.grid(axis="y", alpha=0.3)
        axes.locator_params(axis="x", nbins=4)  # more labels would overlap


def _curve(figure: Any, rows: list[dict[str, Any]], head: str, result: Mapping[str, Any]) -> None:
    axes = figure.subplots()
    masked = [row for row in rows if row["label"].startswith("mask ratio")]
    spreads = [row["ours"][head]["pcc"] for row in masked]
    ratios = [float(row["label"].rpartition(" ")[2]) for row in masked]
    axes.errorbar(ratios, [s["mean"] for s in spreads], _errors(spreads), fmt="o-", color=BLUE, capsize=4, label="ours")
    for row in rows:
        if row not in masked:
            axes.axhline(row["ours"][head]["pcc"]["mean"], color=GRAY, ls="--", label=row["label"])
    axes.set_xlabel("share of patches masked")
    axes.set_ylabel(f"PCC ({head}), range over seeds")
    axes.legend()


def _categories(figure: Any, rows: list[dict[str, Any]], head: str, result: Mapping[str, Any]) -> None:
    axes = figure.subplots()
    names = sorted({key for row in rows for key in row["ours"][head] if key.startswith("pcc:")})
    width = 0.8 / max(1, len(rows))
    for n, row in enumerate(rows):
        found = row["ours"][head]
        here = [i for i, name in enumerate(names) if name in found]
        spreads = [found[names[i]] for i in here]
        variance = f", variance {found['variance']['mean']:.4f}" if "variance" in found else ""
        places = np.array(here) + (n - (len(rows) - 1) / 2) * width
        colour, label = COLOURS[n % len(COLOURS)], row["label"] + variance
        axes.bar(places, [s["mean"] for s in spreads], width, yerr=_errors(spreads), label=label, color=colour)
    axes.set_xticks(range(len(names)), [name.removeprefix("pcc:") for name in names], rotation=30, ha="right")
    axes.set_ylabel(f"PCC ({head}), range over seeds")
    figure.legend(loc="outside lower center", ncols=2)


def _maps(figure: Any, rows: list[dict[str, Any]], head: str, result: Mapping[str, Any]) -> None:
    """A row each: coloured by category, and by complexity in ten steps, as in figure 7."""
    for row, pair in zip(rows, figure.subplots(len(rows), 2, squeeze=False), strict=True):
        x, y = np.array(row["map"]["points"]).T
        classes = np.unique(row["map"]["categories"], return_inverse=True)[1]
        tenths = np.ceil(10 * np.array(row["map"]["scores"])).clip(1, 10)
        for axes, colour, what in zip(pair, (classes, tenths), ("category", "complexity"), strict=True):
            axes.scatter(x, y, 6, colour, cmap="tab10" if what == "category" else "viridis", rasterized=True)
            axes.set(title=f"{row['label']}, by {what}", xticks=[], yticks=[])


def _contrasts(figure: Any, rows: list[dict[str, Any]], head: str, result: Mapping[str, Any]) -> None:
    """A line a condition: the paired difference with both intervals; right of zero, the left row of the pair is better."""
    axes = figure.subplots()
    shown = [one for one in result["contrasts"] if one["difference"][head]]
    for place, one in enumerate(shown):
        pair = one["difference"][head]
        for ends, shift, colour in ((pair["over_seeds"], -0.15, BLUE), (pair["over_images"], 0.15, ORANGE)):
            axes.plot(ends or [], [place + shift] * len(ends or []), color=colour, lw=3, solid_capstyle="butt")
        axes.plot(pair["values"], [place] * len(pair["values"]), "|", color=GRAY, ms=8)
        axes.plot(pair["mean"], place, "o", color=BLUE, ms=5)
    axes.axvline(0, color=GRAY, lw=1)
    axes.set(yticks=range(len(shown)), yticklabels=[f"{one['condition']} ({_seeds(one, head)})" for one in shown])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"PCC with the shift minus without ({head}): seeds (bars), mean, 95 % over seeds (blue), over images (orange)"
    )
    axes.grid(axis="y", alpha=0.3)


def _seeds(one: Mapping[str, Any], head: str) -> str:
    count = len(one["difference"][head]["values"])
    return f"{count} seed{'s' if count > 1 else ''}"


def _errors(spreads: list[dict[str, Any]]) -> Any:
    return np.array([[s["mean"] - s["range"][0], s["range"][1] - s["mean"]] for s in spreads]).T.reshape(2, -1)


PANELS = {"fig5": _categories, "fig6": _curve, "fig7": _maps, "shift": _contrasts}
"""Suite -> what draws a head's part of it; the others are tables, drawn as points."""
