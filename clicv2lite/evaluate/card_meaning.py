"""The part of the model card that says what a score means: reference, intervals, flags (book chapter 12)."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from clicv2lite.data import flags as thresholds
from clicv2lite.evaluate.stored import read_json, stored_results
from clicv2lite.models.head_file import read_head
from clicv2lite.models.norms import NORMS_FILE, own_norms
from clicv2lite.provenance import code_version

RULES = {
    "uniform": f"standard deviation of the luma below {thresholds.UNIFORM:g} of 255",
    "small": f"shorter side below {thresholds.SMALL} px",
    "narrow": f"one side more than {thresholds.NARROW:g} times the other",
    "border": f"{thresholds.BORDER:.0%} or more of the image in bands of one level along its edges",
    "drawn": f"4 of 4,096 colours cover {thresholds.DRAWN_COLOURS:.0%}; {thresholds.DRAWN_EQUAL:.0%} of neighbours are equal",
    "text": f"one level covers {thresholds.TEXT_GROUND:.0%}; {thresholds.TEXT_CHANGES} changes to ink or back a row; gray",
}
SAVOIAS = "Savoias"
PHOTOGRAPHS = ("photo", "scene", "interior")


def table_name(n: int, categories: Iterable[str], command: str) -> str:
    """Savoias, if a table of ratings has its number and its categories, as the stored results count them; else the file's name.

    Args:
        n, categories: of the table. command: as stored, with its `--ratings`.
    """
    stored = read_json(stored_results() / "handcrafted_within.json")
    if (n, set(categories)) == (stored["n"], set(stored["per_category"])):
        return SAVOIAS
    return f"`{Path(option(command, '--ratings')).name}`"


def option(command: str, name: str, default: str = "") -> str:
    """The value of an option in a stored command, `--name VALUE` or `--name=VALUE`."""
    words = [part for word in shlex.split(command) for part in (word.split("=", 1) if word.startswith(f"{name}=") else [word])]
    return words[words.index(name) + 1] if name in words else default


def meaning(folder: Path) -> str:
    """Percentiles and intervals, of norms.json in the model's folder; a line that says so if there is none."""
    if own_norms(folder, read_head(folder)) is None:
        return "This model has no norms: `clicv2lite norms` makes them.\n"
    norms = read_json(folder / NORMS_FILE)
    medians = [f"{kind} {np.median(entry['quantiles']):.2f} ({entry['n']})" for kind, entry in norms["kinds"].items()]
    text = (
        f"`percentile` is the share of {norms['n']:,} images ({norms['reference']}) that score lower;\n"
        "`--kind K` takes those of one kind. "
        f"Their median score is {np.median(norms['quantiles']):.2f}; "
        f"of each kind, and number of images: {', '.join(medians)}.\n"
        f"Made at {code_version(norms)}.\n"
    )
    return text + (_intervals(norms["interval"], norms["command"]) if norms["interval"] else "")


def _intervals(interval: dict[str, Any], command: str) -> str:
    covered = interval["coverage"]
    table = table_name(interval["n"], covered["share"].keys() - {"overall"}, command)
    kinds = (
        " A rating there is scaled\nto 0..1 *within its category*: the interval says nothing on a scale that all kinds share."
    )
    rows = [f"| {name} | {' '.join(f'{share:.3f}' for share in shares)} |" for name, shares in covered["share"].items()]
    return (
        f"\n`uncertainty` is the half-width of an interval around the score: {', '.join(f'{h:.2f}' for h in interval['half'])} "
        f"for scores below {', '.join(f'{e:.2f}' for e in interval['edges'])} and above.\n"
        f"Nine of ten ratings of images like the {interval['n']} of {table} should lie within it."
        f"{kinds if table == SAVOIAS else ''} Share of ratings inside,\n"
        "nested cross-validation "
        f"(no part of an interval saw the rating), {covered['folds']} folds, seeds {', '.join(map(str, covered['seeds']))}, "
        f"nominal {covered['level']:.2f}, mean half-width {covered['half']:.2f}:\n\n"
        "| category | inside, by seed |\n|---|---|\n" + "\n".join(rows) + "\n\n"
        "The promise holds on average over the categories, not in each: trust it least where the share is low.\n"
    )


def flag_table(stored: dict[str, Any]) -> str:
    """One row a flag: its rule, how often made images that should have it have it, and how often photographs and others do."""
    groups, made = stored["groups"], stored["made"]
    rows = []
    for flag, rule in RULES.items():
        photographs = [groups[name] for name in PHOTOGRAPHS if name in groups]
        count = sum(group["n"] for group in photographs)
        of_photographs = sum(group["n"] * group[flag] for group in photographs) / count
        others = sorted(((group[flag], name) for name, group in groups.items() if name not in PHOTOGRAPHS), reverse=True)[:4]
        most = ", ".join(f"{name} {share:.2f}" for share, name in others if share >= 0.01) or "none"
        hit = f"{made['share'][flag]:.2f}" if flag in made["share"] else "-"
        rows.append(f"| `{flag}` | {rule} | {hit} | {of_photographs:.3f} | {most} |")
    head = f"| flag | rule | raised on {made['n']} made images | on photographs, scenes, interiors | most often elsewhere |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])
