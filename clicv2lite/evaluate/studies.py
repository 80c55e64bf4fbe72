"""Suites that are ours, not the paper's: they ask a question that its tables leave open (book chapters 3 and 13)."""

from dataclasses import replace

from clicv2lite.evaluate.suites import SUITES, Contrast, Suite, SuiteRow

NO_SHIFT = ("max_shift=0",)


def _row(label: str, *settings: str, share: float = 1.0, coarser: int = 1) -> SuiteRow:
    return SuiteRow(label, settings=settings, shape="figure", share=share, coarser=coarser)


def _shift() -> Suite:
    """Does moving the content of each cell help, and if not, why? Sizes in pixels are those of patches of 16."""
    moved = (
        _row("shift to p/4, zeros"),
        _row("shift to p/4, edge pixels", "fill=edge"),
        _row("shift to p/4, image pixels", "fill=image"),
        _row("shift by 1 px", "max_shift=1"),
        _row("shift to 2 px", "max_shift=2"),
        _row("shift to 8 px", "max_shift=8"),
    )
    conditions = (  # each with the shift and without
        _row("no augmentation", "augment=none"),
        _row("no MEM", "target=none"),
        _row("images augmented", "augment=image"),
        _row("images augmented, no MEM", "augment=image", "target=none"),
        _row("conv-pool", "patch_embed=conv-pool"),
        _row("patches twice the side", coarser=2),
        _row("quarter of the passes", share=1 / 4),
        _row("four times the passes", share=4),
    )
    both = [
        replace(row, label=f"{row.label}, {how}", settings=(*row.settings, *less))
        for row in conditions
        for how, less in (("no shift", NO_SHIFT), ("shift", ()))
    ]
    rows = (_row("no shift", *NO_SHIFT), *moved, *both, SuiteRow("untrained ViT", shape="figure", trained=False))
    plainly = [Contrast(row.label, row.label, "no shift") for row in moved]
    paired = [Contrast(row.label, f"{row.label}, shift", f"{row.label}, no shift") for row in conditions]
    caption = "A study of ours, not in the paper: shifted patchify against the same training without the shift"
    return Suite("shift", caption, rows, "no shift", ("offsets",), (*plainly, *paired))


STUDIES: dict[str, Suite] = {"shift": _shift()}
"""Name -> suite."""
EVERY_SUITE = SUITES | STUDIES
"""What `evaluate --suite` knows: the paper's tables and figures, then the studies."""
