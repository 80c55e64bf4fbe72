"""A run is resumed only with its own settings and images, and odd things in its folder are one line."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from clicv2lite.data.identity import identity
from clicv2lite.data.sources import open_images
from clicv2lite.distributed import Ranks
from clicv2lite.errors import UserError
from clicv2lite.pretrain.folder import FILES, claim, list_bad
from clicv2lite.recipes.library import get_recipe

RECIPE = get_recipe("ci")


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 30 + seed, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    for i in range(4):
        picture(tmp_path / "photos" / "a" / f"{i}.png", i)
    return tmp_path / "photos"


def claimed(out, *sources, recipe=RECIPE, resume=False, recipe_file=None):
    """Whether a run begins."""
    images = open_images([str(source) for source in sources])
    return claim(out, recipe, {"images": len(images), "images_sha256": identity(images)}, resume, Ranks(), recipe_file)


def resumed(out, *sources, recipe=RECIPE):
    """The line of a refusal; None if a run with a first row goes on."""
    try:
        begins = claimed(out, *sources, recipe=recipe, resume=True)
    except UserError as error:
        assert "\n" not in str(error)
        return str(error)
    if begins:
        (out / "metrics.jsonl").write_text('{"step": 1}\n')
    return None


def test_as_many_other_images_are_another_run(photos, tmp_path):
    out = tmp_path / "run"
    assert resumed(out, photos) is None and resumed(out, photos) is None
    assert len(json.loads((out / "config.json").read_text())["images_sha256"]) == 64
    picture(photos / "a" / "1.png", 9)  # the same name, another size
    assert "with as many images as before (4), but with other names or sizes" in resumed(out, photos)
    picture(photos / "a" / "1.png", 1)
    assert resumed(out, photos) is None
    (photos / "a" / "1.png").rename(photos / "a" / "7.png")
    assert "other names or sizes" in resumed(out, photos)


def test_a_recipe_file_in_the_folder_is_replaced_only_if_an_attempt_left_it(tmp_path):
    tmp_path.joinpath("recipe.toml").write_bytes(b"mine")
    for other in (None, b"other"):
        with pytest.raises(UserError, match=r"recipe\.toml: another recipe than that of this run"):
            claimed(tmp_path, "worlds:4", recipe_file=other)
    assert os.listdir(tmp_path) == ["recipe.toml"] and tmp_path.joinpath("recipe.toml").read_bytes() == b"mine"
    for ours in (b"mine", b"corrected"):  # the second after an attempt without a result
        assert claimed(tmp_path, "worlds:4", recipe_file=ours)
        assert tmp_path.joinpath("recipe.toml").read_bytes() == ours
    assert claimed(tmp_path, "worlds:4") and os.listdir(tmp_path) == ["config.json"]


class Growing(dict):
    def values(self):
        for reason in super().values():
            self[f"{len(self)}.png"] = reason  # as a thread that decodes does
            yield reason


def test_bad_images_are_listed_while_more_are_found(tmp_path):
    list_bad(Growing({"a.png": "a.png: corrupt"}), tmp_path, Ranks())
    assert (tmp_path / "bad_images.txt").read_text() == "a.png: corrupt\n"


def test_the_data_may_be_moved(photos, tmp_path):
    out = tmp_path / "run"
    assert resumed(out, photos) is None
    photos.rename(tmp_path / "elsewhere")
    assert resumed(out, tmp_path / "elsewhere") is None


@pytest.mark.parametrize("first, second", [("worlds:4", "worlds:4:1"), ("worlds:20", "embedded")])
def test_drawn_and_embedded_images_have_an_identity(tmp_path, first, second):
    assert resumed(tmp_path / "run", first) is None and resumed(tmp_path / "run", first) is None
    assert "images" in resumed(tmp_path / "run", second)


def test_a_run_of_an_earlier_version_is_resumed_by_the_number_of_its_images(photos, tmp_path):
    out = tmp_path / "run"
    resumed(out, photos)
    stored = json.loads((out / "config.json").read_text())
    del stored["images_sha256"]
    (out / "config.json").write_text(json.dumps(stored))
    picture(photos / "a" / "1.png", 9)
    assert resumed(out, photos) is None
    picture(photos / "a" / "5.png", 5)
    assert "images 4 -> 5" in resumed(out, photos)


def test_a_setting_that_the_method_does_not_read_stops_no_run(photos, tmp_path):
    moco = get_recipe("ci", ["method=moco"])
    assert resumed(tmp_path / "run", photos, recipe=replace(moco, negatives="other-images")) is None
    assert resumed(tmp_path / "run", photos, recipe=moco) is None
    assert "temperature" in resumed(tmp_path / "run", photos, recipe=replace(moco, temperature=0.5))


def test_a_setting_that_another_leaves_idle_stops_no_run(photos, tmp_path):
    begun = get_recipe("ci", ["augment=none"]).changed({"color": 0.9})  # as it was taken by earlier versions
    assert resumed(tmp_path / "run", photos, recipe=begun) is None
    assert resumed(tmp_path / "run", photos, recipe=get_recipe("ci", ["augment=none"])) is None
    assert "augment none -> patch" in resumed(tmp_path / "run", photos, recipe=get_recipe("ci"))


def pipe(path):
    os.mkfifo(path)


ODD = {
    "folder": lambda path: path.mkdir(), "pipe": pipe, "broken link": lambda path: path.symlink_to("nowhere"),
    "device": lambda path: path.symlink_to("/dev/zero"),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", FILES)
def test_something_else_than_a_file_is_named_and_left_there(photos, tmp_path, name, odd):
    (tmp_path / "run").mkdir()
    ODD[odd](tmp_path / "run" / name)
    assert f"{name}: not a file, or a broken link" in resumed(tmp_path / "run", photos)
    assert os.path.lexists(tmp_path / "run" / name)


def test_a_file_in_the_place_of_the_checkpoints_is_named(photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").touch()
    assert "checkpoints: not a folder" in resumed(tmp_path / "run", photos)


def test_a_configuration_that_may_not_be_read_is_one_line(photos, tmp_path, monkeypatch):
    out = tmp_path / "run"
    resumed(out, photos)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    assert "config.json: cannot be read (Permission denied)" in resumed(out, photos)


@pytest.mark.parametrize("change", [
    {"width": 1e9}, {"width": "32"}, {"depth": 10**9}, {"lr": [1]}, {"lr": "nan"}, {"pool_blocks": "abc"},
    {"pool_blocks": [99]},
    {"pool_read": "evil"}, {"pool_statistics": ["mean", "mean"]}, {"size": 10**9}, {"heads": 0}, {"class_token": "yes"},
    {"method": []}, {"bins": -1}, {"seed": True}, {"decoder_depth": None}, {"pool_halvings": 10**9}, {"batch": "digits"},
])  # fmt: skip
def test_a_configuration_with_a_value_that_cannot_be_is_one_line(photos, tmp_path, change):
    out = tmp_path / "run"
    resumed(out, photos)
    stored = json.loads((out / "config.json").read_text())
    stored["recipe"] |= {key: value for key, value in change.items() if key != "batch"}
    text = json.dumps(stored)
    if "batch" in change:
        text = text.replace('"batch": 16', '"batch": ' + "9" * 5000)
    (out / "config.json").write_text(text)
    assert "config.json: not readable as a run's configuration" in resumed(out, photos)


def test_a_configuration_that_is_nested_without_end_is_one_line(photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"recipe":' * 100_000)
    assert "config.json: not readable" in resumed(tmp_path / "run", photos)


RESULTS = ("metrics.jsonl", "probes.jsonl", "encoder.safetensors", "checkpoints/step-000000005.safetensors")


def put(out, name):
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("result")


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_without_a_result_leaves_its_folder_to_a_corrected_command(photos, tmp_path, resume):
    assert claimed(tmp_path, "worlds:4")
    (tmp_path / "metrics.jsonl").touch()  # opened, and nothing written
    (tmp_path / "checkpoints").mkdir()
    assert claimed(tmp_path, photos, recipe=replace(RECIPE, seed=8), resume=resume)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["recipe"]["seed"] == 8 and stored["images_sha256"] == identity(open_images([str(photos)]))


@pytest.mark.parametrize("name", RESULTS)
def test_with_its_first_result_the_folder_is_that_of_its_run(tmp_path, name):
    assert claimed(tmp_path, "worlds:4")
    put(tmp_path, name)
    if name != "encoder.safetensors":
        assert not claimed(tmp_path, "worlds:4", resume=True)
    assert "seed 0 -> 8" in resumed(tmp_path, "worlds:4", recipe=replace(RECIPE, seed=8))
    with pytest.raises(UserError, match="holds a run already; add --resume"):
        claimed(tmp_path, "worlds:4")


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("name", RESULTS)
def test_results_without_their_configuration_are_nobodys(tmp_path, name, resume):
    put(tmp_path, name)
    with pytest.raises(UserError, match=rf"{name}: of a run whose config\.json is gone; put that back, or choose another"):
        claimed(tmp_path, "worlds:4", resume=resume)
    assert not (tmp_path / "config.json").exists() and (tmp_path / name).read_text() == "result"


def test_a_configuration_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match="not readable as a run's configuration"):
        claimed(tmp_path, "worlds:4")


def test_a_finished_run_whose_checkpoints_are_gone_is_not_begun_again(tmp_path):
    assert claimed(tmp_path, "worlds:4")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "encoder.safetensors").write_text("weights")
    with pytest.raises(UserError, match="a finished run whose checkpoints are gone"):
        claimed(tmp_path, "worlds:4", resume=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000000001.safetensors").touch()
    assert not claimed(tmp_path, "worlds:4", resume=True)


def test_what_a_killed_write_left_goes(tmp_path):
    for name in FILES:
        (tmp_path / f".{name}.deadbeef.tmp").touch()
    assert claimed(tmp_path, "worlds:4") and [path.name for path in tmp_path.iterdir()] == ["config.json"]
