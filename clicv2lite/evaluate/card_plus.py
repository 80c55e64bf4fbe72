"""The card of the model plus, written from the numbers of the files in its folder and in that of default (book chapter 12)."""

from pathlib import Path

from clicv2lite.baselines.measures.encoder import SIDE
from clicv2lite.baselines.measures.sets import PLAIN
from clicv2lite.evaluate.card import PROBE
from clicv2lite.evaluate.card_meaning import meaning
from clicv2lite.evaluate.cells import ends, line, number
from clicv2lite.evaluate.stored import read_json, stored_results
from clicv2lite.models.by_name import SHIPPED
from clicv2lite.models.head_file import read_head
from clicv2lite.provenance import code_version

TEMPLATE = Path(__file__).with_name("card_plus.md")


def plus_card(folder: Path = SHIPPED["plus"]) -> str:
    """The model card as Markdown."""
    probe, default = read_json(folder / PROBE), read_json(SHIPPED["default"] / PROBE)
    handcrafted = read_json(stored_results() / "handcrafted_within.json")
    board = {row["encoder"]: row for row in read_json(stored_results() / "plus.json")["rows"]}
    behind = board["default"]["to_best"]  # default minus plus
    compared = {"**plus**": probe, "default": default, "the eleven formulas alone": handcrafted}
    by_category = (
        [name, f"{r['n']}", number(r["pcc"]), number(r["srcc"]), number(default["per_category"][name]["pcc"])]
        for name, r in probe["per_category"].items()
    )
    return TEMPLATE.read_text(encoding="utf-8").format(
        probe=probe,
        ahead=number(-behind["mean"], sign="+"),
        interval=ends([-end for end in reversed(behind["ci"])], sign="+"),
        default=default,
        networks=read_head(folder).config()["width"] - len(PLAIN),
        side=SIDE,
        formulas=", ".join(f"`{name}`" for name in PLAIN),
        kilobytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e3,
        rows="\n".join(line([name, number(r["mean_pcc"]), ends(r["mean_pcc_ci"])]) for name, r in compared.items()),
        categories="\n".join(line(cells) for cells in by_category),
        meaning=meaning(folder),
        commit=code_version(probe),
    )
