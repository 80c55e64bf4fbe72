import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.errors import UserError
from clicv2lite.method.views import draws_per_image, make_views
from clicv2lite.models.by_name import load_encoder
from clicv2lite.pretrain.engine import Pretraining, pretrain
from clicv2lite.pretrain.export import export, load_pretraining, load_recipe
from clicv2lite.recipes.library import ci, get_recipe

RECIPE = replace(ci(), passes=96, warmup=16, save_every=4)  # the last of its 6 steps is no multiple


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert pretrain(Pretraining(RECIPE, ["worlds:20"], folder, device="cpu", progress=False))
    return folder


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export(run, folder)
    return folder


def inputs(recipe, b=4):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (b, 3, recipe.store, recipe.store), generator=generator, dtype=torch.uint8)
    return make_views(images, torch.rand(b, draws_per_image(recipe.views), generator=generator), recipe.views)


def test_a_run_comes_back_with_the_weights_of_its_end(run):
    model = load_pretraining(str(run))
    want = load_encoder(str(run)).vit.state_dict()
    assert all(value.equal(want[name]) for name, value in model.query.state_dict().items())
    assert not all(a.equal(b) for a, b in zip(model.query.parameters(), model.key.parameters(), strict=True))
    assert load_recipe(str(run)) == RECIPE


def test_a_loaded_model_is_in_evaluation_mode_without_gradient_and_leaves_the_generator_alone(exported):
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    model = load_pretraining(str(exported))
    assert torch.rand(2).equal(want)
    assert not any(m.training for m in model.modules()) and not any(p.requires_grad for p in model.parameters())


def test_an_exported_model_computes_what_the_run_did_to_half_precision(run, exported):
    views = inputs(RECIPE)
    with torch.no_grad():
        want, got = load_pretraining(str(run))(views), load_pretraining(str(exported))(views)
    np.testing.assert_allclose(got.queries, want.queries, atol=5e-3)
    np.testing.assert_allclose(got.auxiliary, want.auxiliary, rtol=1e-2)
    assert not got.queries.equal(want.queries), "the rounding should show in the last digits"


def test_the_key_of_an_exported_model_is_its_query(exported):
    model = load_pretraining(str(exported))
    assert all(a.equal(b) for a, b in zip(model.query.parameters(), model.key.parameters(), strict=True))
    assert all(a.equal(b) for a, b in zip(model.query_head.parameters(), model.key_head.parameters(), strict=True))


def test_an_exported_folder_is_also_an_encoder_of_half_the_bytes(run, exported):
    names = ["config.json", "encoder.safetensors", "pretraining.safetensors"]
    assert sorted(p.name for p in exported.iterdir()) == names
    whole, half = (folder / "encoder.safetensors" for folder in (run, exported))
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    encoder = load_encoder(str(exported))
    assert encoder.vit.pos_embed.dtype == torch.float32 and encoder.config == load_encoder(str(run)).config


@pytest.mark.posix
@pytest.mark.parametrize("form", ["--out {}", "--out '{} too'", "--out={}", "'--out={} too'"])
def test_an_exported_configuration_does_not_say_where_the_run_lay(tmp_path, run, monkeypatch, form):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (folder / "checkpoints").symlink_to(run / "checkpoints")
    config = json.loads((run / "config.json").read_text())
    config["command"] = f"clicv2lite pretrain --images 'a b.tar' {form.format(folder)} --resume"
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(folder)
    export(Path("."), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["command"] == (
        "clicv2lite pretrain --images 'a b.tar' --out runs/mine --resume"
    )


def one_line_of(folder):
    with pytest.raises(UserError) as caught:
        load_pretraining(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_pretraining_is_named_in_one_line(tmp_path, run):
    assert "no configuration of a pretraining" in one_line_of(tmp_path / "absent")
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    assert "nor a whole checkpoint" in one_line_of(tmp_path)
    for text in ("[]", "{", '{"recipe": 3}', '{"recipe": {"colour": 3}}'):
        (tmp_path / "config.json").write_text(text)
        assert "no configuration of a pretraining" in one_line_of(tmp_path)


def test_a_run_of_another_method_is_refused(tmp_path, run):
    config = json.loads((run / "config.json").read_text())
    config["recipe"] = get_recipe("ci", ["method=moco"]).flat()
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "method moco" in one_line_of(tmp_path)


@pytest.mark.parametrize("name", ["encoder.safetensors", "pretraining.safetensors"])
def test_damaged_weights_are_named_in_one_line(name, exported, tmp_path):
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_bytes((exported / name).read_bytes()[:-9])
    assert "damaged" in one_line_of(tmp_path)


def test_weights_of_another_shape_are_named_in_one_line(exported, tmp_path):
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((exported / "config.json").read_text())
    config["recipe"]["decoder_width"] = 32
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "do not fit" in one_line_of(tmp_path)


def test_the_shipped_model_predicts_entropy_and_finds_its_patches_again():
    """Far better than chance on photographs that it never saw: the weights are trained ones and in their places."""
    model, recipe = load_pretraining(), load_recipe()
    images = torch.stack([read_square(path, recipe.store) for path in photographs().values()])
    noise = torch.rand(len(images), draws_per_image(recipe.views), generator=torch.Generator().manual_seed(0))
    views = make_views(images, noise, recipe.views)
    output = model(views)
    assert output.auxiliary < 0.6 * views.target.var()
    own = (output.queries * output.keys).sum(-1)
    other = (output.queries * output.keys.roll(1, 0)).sum(-1)
    assert (own > other).float().mean() > 0.9
