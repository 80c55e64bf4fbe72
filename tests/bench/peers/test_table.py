"""The table says what each side did, how long it took and why a row has no numbers."""

from dataclasses import asdict

from clicv2lite.bench.peers import table
from clicv2lite.bench.peers.row import Row

MEASURED = asdict(
    Row(
        "step", "lightly", "1.6.0", "32 images", "two products", "fused | kernel",
        {"ours": 0.25, "peer": 0.5}, 2.0, (1.9, 2.25), {"ours": [0.25] * 6, "peer": [0.5] * 6},
        {"ours": 0.125, "peer": 0.75},
        {"ours": 1_500_000_000, "peer": 2_000_000_000}, {"ours": 3_000_000, "peer": 4_000_000},
    )
)  # fmt: skip
FAILED = asdict(Row("step", "solo-learn", "", "32 images", "", "", failed="does not install: it pins torch"))


def test_a_measured_row_has_ratio_spread_and_both_sides():
    assert table.cells(MEASURED) == (
        "step", "lightly 1.6.0",
        "250.0 ms, 125.0 ms of all cores, 1.5 GFLOP, 3 MB", "500.0 ms, 750.0 ms of all cores, 2.0 GFLOP, 4 MB",
        "2.00 (1.90 to 2.25)", "6", "32 images", "two products", "fused | kernel",
    )  # fmt: skip


def test_a_failed_row_has_the_reason_in_the_place_of_its_ratio():
    assert table.cells(FAILED)[:6] == ("step", "solo-learn", "", "", "not measured: does not install: it pins torch", "")


def test_markdown_has_as_many_cells_in_each_line():
    head, rule, *lines = [line for line in table.markdown([MEASURED, FAILED]).splitlines() if line.startswith("|")]
    assert len(lines) == 2 and "fused \\| kernel" in lines[0]
    assert {line.replace("\\|", "").count("|") for line in (head, rule, *lines)} == {len(table.HEAD) + 1}


def test_the_terminal_has_every_row():
    printed = table.text([MEASURED, FAILED])
    assert "ratio 2.00 (1.90 to 2.25), 6 pairs" in printed and "only ours: two products" in printed
    assert "solo-learn\n  not measured: does not install: it pins torch" in printed
