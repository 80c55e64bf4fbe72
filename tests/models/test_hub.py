import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

import clicv2lite
from clicv2lite.heads.ridge import RidgeHead
from clicv2lite.models.by_name import DEFAULT, load_encoder
from clicv2lite.models.hub import ComplexityModel
from clicv2lite.models.model import load_model


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 3, 288, 288), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_a_saved_model_comes_back_and_is_also_a_folder_for_score(tmp_path, images):
    model = clicv2lite.load()
    ComplexityModel.of(model).save_pretrained(tmp_path / "mine")
    want = model.scores(images)
    back = ComplexityModel.from_pretrained(tmp_path / "mine")
    assert isinstance(back, ComplexityModel)
    np.testing.assert_allclose(back.scores(images), want, atol=1e-6)
    np.testing.assert_allclose(load_model(tmp_path / "mine").scores(images), want, atol=1e-6)
    card = (tmp_path / "mine" / "README.md").read_text()
    assert card.startswith("---\n") and "\nlibrary_name: clicv2lite\n" in card and "from_pretrained" in card
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["kind"] == "ridge"


def test_the_default_models_card_and_figures_go_with_it(tmp_path):
    ComplexityModel.of(clicv2lite.load()).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert (DEFAULT / "model_card.md").read_text() in card and "type: pearsonr" in card and "- savoias" in card


@pytest.mark.parametrize("name", ["default", str(DEFAULT)])
def test_a_new_head_has_no_figures_of_another(tmp_path, monkeypatch, name):
    shutil.copy(DEFAULT / "probe.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    shipped = clicv2lite.load()
    head = RidgeHead.restore(shipped.head.config(), {key: 2 * value for key, value in shipped.head.tensors().items()})
    ComplexityModel(load_encoder(name), head, shipped.norms).save_pretrained(tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "pearsonr" not in card and "savoias" not in card and (DEFAULT / "model_card.md").read_text() not in card
    assert not (tmp_path / "mine" / "norms.json").exists()


def test_push_uploads_the_folder_once(tmp_path, images, monkeypatch):
    uploaded = {}

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, repo_id, private, exist_ok):
            return type("Url", (), {"repo_id": repo_id})

        def upload_folder(self, repo_id, folder_path, **_):
            uploaded[repo_id] = {p.name: p.read_bytes() for p in Path(folder_path).iterdir()}
            return "https://example.org/commit"

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    assert ComplexityModel.of(clicv2lite.load()).push_to_hub("me/complexity") == "https://example.org/commit"
    files = uploaded["me/complexity"]
    weights = {"encoder.safetensors", "encoder_2.safetensors", "head.safetensors"}
    assert set(files) == {*weights, "config.json", "README.md", "norms.json"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def download(repo_id, **_):  # what comes back from the Hub is what went there
        assert repo_id == "me/complexity"
        return str(tmp_path)

    monkeypatch.setattr("clicv2lite.models.hub.snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.hub_mixin, "hf_hub_download", lambda **_: str(tmp_path / "config.json"))
    back = ComplexityModel.from_pretrained("me/complexity")
    np.testing.assert_allclose(back.scores(images), clicv2lite.load().scores(images), atol=1e-6)
