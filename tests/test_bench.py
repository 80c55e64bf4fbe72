"""The benchmark compares operations that do the same, and reports ratios."""

import json

import pytest
import torch

from clicv2lite import bench
from clicv2lite.cli import main
from clicv2lite.entropy import patch_entropy
from clicv2lite.patches import shift


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(bench, "PATCHES", 64)
    monkeypatch.setattr(bench, "QUERIES", (3, 5, 8))
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.01)


def test_the_loops_do_what_the_vectorised_forms_do():
    patches, offset = torch.rand(64, 3, 16, 16), bench.random_offsets()
    assert torch.equal(bench.shift_loop(patches, offset), shift(patches, offset))
    torch.testing.assert_close(bench.entropy_loop(patches), patch_entropy(patches), atol=0.02, rtol=0)  # bin edges round


def test_every_ratio_is_reference_over_own():
    timing = bench.compare("sum", lambda: sum(range(100)), longer=lambda: sum(range(10_000)))
    assert timing.ratios["longer"] == timing.references["longer"] / timing.seconds > 1


def test_bench_writes_ratios_with_their_machine(tmp_path, capsys):
    assert main(["bench", "--json", str(tmp_path / "bench.json")]) == 0
    result = json.loads((tmp_path / "bench.json").read_text())
    assert [set(t["ratios"]) for t in result["timings"]] == [
        {"per_patch_loop", "memory_copy"}, {"per_patch_loop", "memory_copy"}, {"dense"}
    ]  # fmt: skip
    assert result["hardware"] and result["command"].startswith("clicv2lite")
    assert "shift of 64 patches" in capsys.readouterr().out
