"""Clutter through its optional package: flat below noise, and one line where the package is missing."""

import sys

import numpy as np
import pytest

from clicv2lite.baselines.measures.clutter import feature_congestion, subband_entropy
from clicv2lite.cli import main
from clicv2lite.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
RAMP = np.repeat(np.tile(np.arange(64, dtype=np.uint8), (64, 1))[..., None], 3, axis=2)


@pytest.mark.parametrize("of", [feature_congestion, subband_entropy])
def test_noise_has_more_clutter_than_a_ramp(of):
    pytest.importorskip("visual_clutter", reason="visual-clutter is not installed")
    before = NOISE.copy()
    assert of(NOISE) > of(RAMP)
    assert np.array_equal(NOISE, before)


@pytest.mark.parametrize("of", [feature_congestion, subband_entropy])
def test_without_the_package_the_error_says_what_to_install(monkeypatch, of):
    monkeypatch.setitem(sys.modules, "visual_clutter", None)
    with pytest.raises(UserError, match=r"pip install --no-deps visual-clutter"):
        of(NOISE)


def test_the_command_says_so_in_one_line(monkeypatch, tmp_path, capsys):
    from PIL import Image

    monkeypatch.setitem(sys.modules, "visual_clutter", None)
    for i in range(2):
        Image.fromarray(NOISE).save(tmp_path / f"{i}.png")
    (tmp_path / "r.csv").write_text("image,score\n0.png,0.2\n1.png,0.4\n")
    assert main(["measures", "--ratings", str(tmp_path / "r.csv"), "--set", "all", "--size", "16"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("clicv2lite: ")]
    assert len(lines) == 1 and "visual-clutter" in lines[0]
