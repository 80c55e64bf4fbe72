"""The paper's tables and figures as data: which runs each compares, and what the paper found (CLICv2, section 4; chapter 15).

What the paper leaves open, and what is chosen here:

- Table 2, cases without shifted patchify: whole images are augmented and nothing moves (`augment=image max_shift=0`).
- Table 2, cases without masked entropy modeling: the decoder goes (`target=none`), the masking of 0.6 stays, so that one part
  changes at a time. Case (e) is then the row "none" of table 5, as it is in the paper, which prints the same values for both.
- Table 3 has 200 epochs of 300, so two thirds of the images; masked entropy modeling is on, as its case (e) has the class
  accuracy that table 5 has for entropy at 2.0.
- Table 4: the image-wise loss is `compare=image`, with the batch as negatives.
- Table 1: ResNet50 and Swin-B are timm's. At `ci` and `lite`, small members of the same families stand for them, as small ViTs
  stand for the paper's (:data:`clicv2lite.evaluate.sizes.SIZES`).
- Figure 6: the paper's curve has no printed values; the ratios here are 0.2 to 0.8.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clicv2lite.evaluate.paper_values import paper_caption, paper_settings, paper_table

VALUES = ("pcc", "srcc", "top1")
SHIFTLESS = ("max_shift=0", "augment=image")
COMMON = {name: f"trained with the optimiser of CLICv2, not method={name.lower()}_published" for name in ("MoCo", "CLIC")}
MIXES = "mixes of crops drawn in the run, not CLIC's added mosaics"


@dataclass(frozen=True)
class SuiteRow:
    """One line of a table, or one bar, point or panel of a figure."""

    label: str
    paper: Mapping[str, float] = field(default_factory=dict)  # pcc, srcc on IC9600; top1 on ImageNet, percent
    settings: tuple[str, ...] = ()  # of the recipe, as for `pretrain --set`
    shape: str = "B"  # which network: S, B, L, L* are the paper's ViTs, `figure` that of figures 5 and 7; ResNet50, Swin-B
    share: float = 1.0  # of the size's images seen
    coarser: int = 1  # how many times the size's patch side
    baseline: str | None = None  # a supervised baseline instead
    trained: bool = True  # False: the ViT as it is drawn, the reference of every suite
    instead: str = ""  # what is run instead of the paper's

    @property
    def note(self) -> str:
        """What was built or run instead of the paper's; stands behind the label in the table."""
        if self.baseline is None:
            return self.instead
        from clicv2lite.baselines.supervised.networks import BASELINES  # not above: `claims` needs no torchvision

        return f"built from {BASELINES[self.baseline].source}"


@dataclass(frozen=True)
class Contrast:
    """A paired comparison that a suite asks for beside those with its reference: left minus right."""

    condition: str
    left: str  # label of a row
    right: str


@dataclass(frozen=True)
class Suite:
    """A table or figure."""

    name: str
    caption: str
    rows: tuple[SuiteRow, ...]
    reference: str  # label of the row that the others are compared with
    measures: tuple[str, ...] = ()  # beside the heads: classes (the category probe), map (t-SNE), offsets (of cells)
    contrasts: tuple[Contrast, ...] = ()


CATEGORY_PROBE = "category probe: share of images whose semantic category is right"
"""What `category_accuracy` is, in percent; the paper's top-1, on the thousand classes of ImageNet, is another number."""

UNTRAINED = SuiteRow("untrained ViT", trained=False)


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in VALUES if row.get(key) is not None}


def _table1() -> Suite:
    rows = []
    for row in paper_table(1):
        method, backbone = row["method"], row["backbone"]
        label = f"{method} {backbone}" if backbone else method
        if row["supervised"]:
            names = {"Kyle et al.": "kyle", "HyperIQA": "hyperiqa", "P2P-FM": "p2pfm", "ICNet": "icnet", "ICCORN": "iccorn"}
            rows.append(SuiteRow(label, _values(row), baseline=names[method]))
        else:
            shape = {"ViT-S/32": "S", "ViT-B/32": "B", "ViT-L/16": "L", "ViT-L/16*": "L*"}.get(backbone, backbone)
            instead = COMMON.get(method, MIXES if shape == "L*" else "")
            rows.append(SuiteRow(label, _values(row), (f"method={method.lower()}",), shape, instead=instead))
    return Suite("table1", paper_caption(1), (*rows, UNTRAINED), "CLICv2 ViT-L/16")


def _table2() -> Suite:
    rows = []
    for row in paper_table(2):
        parts = [name for name, on in (("SP", row["sp"]), ("PwIN", row["pwin"]), ("MEM", row["mem"])) if on]
        settings = (
            *(() if row["sp"] else SHIFTLESS),
            *(() if row["pwin"] else ("compare=image",)),
            *(() if row["mem"] else ("target=none",)),
        )
        rows.append(SuiteRow(f"({row['case']}) {' + '.join(parts) or 'none'}", _values(row), settings))
    return Suite("table2", paper_caption(2), (*rows, UNTRAINED), rows[0].label)


def _table3() -> Suite:
    rows = []
    for row in paper_table(3):
        kind = row["augmentation"] or "none"
        settings = (*(() if row["shift"] else ("max_shift=0",)), *(() if kind == "patch" else (f"augment={kind}",)))
        label = f"({row['case']}) {'shift' if row['shift'] else 'no shift'}, augmentation {kind}"
        rows.append(SuiteRow(label, _values(row), settings, share=2 / 3))
    return Suite("table3", f"{paper_caption(3)}; {CATEGORY_PROBE}", (*rows, UNTRAINED), rows[0].label, ("classes",))


def _table4() -> Suite:
    settings = {"image-wise": ("compare=image",), "patch-wise": ()}
    rows = [SuiteRow(row["loss"], _values(row), settings[row["loss"]]) for row in paper_table(4)]
    return Suite("table4", paper_caption(4), (*rows, UNTRAINED), "image-wise")


def _table5() -> Suite:
    rows = []
    for row in paper_table(5):
        target, weight = row["target"], row["weight"]
        if target == "none":
            rows.append(SuiteRow("none", _values(row), ("target=none",)))
        else:
            rows.append(SuiteRow(f"{target} {weight}", _values(row), (f"target={target}", f"weight={weight}")))
    return Suite("table5", f"{paper_caption(5)}; {CATEGORY_PROBE}", (*rows, UNTRAINED), "none", ("classes",))


def _fig5() -> Suite:
    rows = (
        SuiteRow("ICNet", baseline="icnet"),
        SuiteRow("CLIC", {}, ("method=clic",), "figure", instead=COMMON["CLIC"]),
        SuiteRow("CLICv2", shape="figure"),
    )
    return Suite("fig5", "PCC by semantic category, and its variance over categories", (*rows, UNTRAINED), "CLIC")


def _fig6() -> Suite:
    ratios = sorted({0.2, 0.4, paper_settings()["mask_ratio"], 0.8})
    rows = [SuiteRow(f"mask ratio {ratio}", settings=(f"mask_ratio={ratio}",)) for ratio in ratios]
    return Suite("fig6", "Share of patches that are masked", (*rows, UNTRAINED), f"mask ratio {paper_settings()['mask_ratio']}")


def _fig7() -> Suite:
    rows = (SuiteRow("CLIC", {}, ("method=clic",), "figure", instead=COMMON["CLIC"]), SuiteRow("CLICv2", shape="figure"))
    return Suite("fig7", "t-SNE of features, by category and by complexity", (*rows, UNTRAINED), "CLIC", ("map",))


SUITES: dict[str, Suite] = {
    suite.name: suite for suite in (_table1(), _table2(), _table3(), _table4(), _table5(), _fig5(), _fig6(), _fig7())
}
"""Name -> suite, in the paper's order."""
