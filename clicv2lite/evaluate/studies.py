"""Suites that are ours, not the paper's: they ask a question that its tables leave open (book chapters 3 and 11)."""

from clicv2lite.evaluate.suites import SUITES, Contrast, Suite, SuiteRow

NO_SHIFT = ("max_shift=0",)


def _row(label: str, *settings: str, share: float = 1.0, coarser: int = 1) -> SuiteRow:
    return SuiteRow(label, settings=settings, shape="figure", share=share, coarser=coarser)


def _shift() -> Suite:
    """Does moving the content of each cell help, and if not, why? Sizes in pixels are those of patches of 16."""
    conv, plain, short, long = "patch_embed=conv-pool", "augment=none", "quarter of the passes", "four times the passes"
    whole, alone = "augment=image", "target=none"  # what else differs between the rows of Table 2
    rows = (
        _row("no shift", *NO_SHIFT),
        _row("shift to p/4, zeros"),
        _row("shift to p/4, edge pixels", "fill=edge"),
        _row("shift to p/4, image pixels", "fill=image"),
        _row("shift by 1 px", "max_shift=1"),
        _row("shift to 2 px", "max_shift=2"),
        _row("shift to 8 px", "max_shift=8"),
        _row("no augmentation, no shift", plain, *NO_SHIFT),
        _row("no augmentation, shift", plain),
        _row("no MEM, no shift", alone, *NO_SHIFT),
        _row("no MEM, shift", alone),
        _row("images augmented, no shift", whole, *NO_SHIFT),
        _row("images augmented, shift", whole),
        _row("images augmented, no MEM, no shift", whole, alone, *NO_SHIFT),
        _row("images augmented, no MEM, shift", whole, alone),
        _row("conv-pool, no shift", conv, *NO_SHIFT),
        _row("conv-pool, shift", conv),
        _row("patches twice the side, no shift", *NO_SHIFT, coarser=2),
        _row("patches twice the side, shift", coarser=2),
        _row(f"{short}, no shift", *NO_SHIFT, share=1 / 4),
        _row(f"{short}, shift", share=1 / 4),
        _row(f"{long}, no shift", *NO_SHIFT, share=4),
        _row(f"{long}, shift", share=4),
        SuiteRow("untrained ViT", shape="figure", trained=False),
    )
    plainly = [Contrast(row.label, row.label, "no shift") for row in rows[1:7]]
    others = (
        *("no augmentation", "no MEM", "images augmented", "images augmented, no MEM"),
        *("conv-pool", "patches twice the side", short, long),
    )
    contrasts = (*plainly, *(Contrast(name, f"{name}, shift", f"{name}, no shift") for name in others))
    caption = "A study of ours, not in the paper: shifted patchify against the same training without the shift"
    return Suite("shift", caption, rows, "no shift", ("offsets",), contrasts)


STUDIES: dict[str, Suite] = {"shift": _shift()}
"""Name -> suite."""
EVERY_SUITE = SUITES | STUDIES
"""What `evaluate --suite` knows: the paper's tables and figures, then the studies."""
