import numpy as np
import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.heads.heatmap import coloured
from clicv2lite.models.model import load_model
from clicv2lite.score.maps import BAR, RAMP, with_bar


@pytest.mark.parametrize(("map_format", "atol"), [("npy", 1e-6), ("tiff", 1e-6)])
def test_the_numbers_are_those_of_the_model(photos, models, tmp_path, map_format, atol):
    words = ["score", "--model", models[0], str(photos), "--map", str(tmp_path / "m"), "--map-format", map_format]
    assert main(words) == 0
    model = load_model(models[0], "cpu")
    assert {path.name for path in (tmp_path / "m").iterdir()} == {f"{i}.png.{map_format}" for i in range(9)}
    for path in (tmp_path / "m").iterdir():
        got = np.load(path) if map_format == "npy" else np.asarray(Image.open(path))
        want = model.complexity_map(photos / path.stem)
        assert got.dtype == (np.float64 if map_format == "npy" else np.float32) and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@pytest.mark.parametrize("width", [30, 300])
def test_the_bar_shows_the_colours_in_order_and_leaves_the_picture(width):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, width, 3), dtype=np.uint8))
    whole = with_bar(picture)
    assert whole.size == (width, 50 + BAR)
    assert np.array_equal(np.asarray(whole)[:50], np.asarray(picture))
    ramp = np.asarray(whole)[50 : 50 + RAMP]
    assert (ramp == ramp[:1]).all() and np.array_equal(ramp[0], np.asarray(coloured(np.linspace(0, 1, width)[None]))[0])
    words = np.asarray(whole)[50 + RAMP :]
    assert (words.min() < 64) == (width == 300)  # dark letters, where there is room


@pytest.mark.parametrize("words", [["--map-format", "npy"], ["--excel"], ["--excel", "--json", "s.json"]])
def test_an_option_without_its_output_is_a_mistake(photos, models, capsys, words):
    assert main(["score", "--model", models[0], str(photos), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"clicv2lite: {words[0]}") and err.count("\n") == 1


def test_a_map_of_numbers_does_not_replace_an_input(photos, models, tmp_path, capsys):
    (tmp_path / "0.png.tiff").write_bytes((photos / "0.png").read_bytes())
    words = [str(photos / "0.png"), str(tmp_path / "0.png.tiff"), "--map", str(tmp_path), "--map-format", "tiff"]
    assert main(["score", "--model", models[0], *words]) == 2
    assert "0.png.tiff: this file is read" in capsys.readouterr().err
