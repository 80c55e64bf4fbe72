import json
import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

import clicv2lite
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import RidgeHead
from clicv2lite.models.by_name import DEFAULT, SHIPPED, load_encoder
from clicv2lite.models.hub import ComplexityModel
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.norms import Norms, fingerprint


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
    assert (DEFAULT / "model_card.md").read_text() in card and "- savoias" in card
    figures = json.loads((DEFAULT / "probe.json").read_text())
    told = {result.metric_type: result.metric_value for result in huggingface_hub.ModelCard(card).data.eval_results}
    assert told == {"pearsonr": figures["mean_pcc"], "spearmanr": figures["srcc"]} and len(set(told.values())) == 2


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


def test_a_head_that_was_fitted_again_has_only_figures_of_itself(tmp_path):
    run, shipped = tmp_path / "run", clicv2lite.load()
    shipped.save(run)
    shutil.copy(DEFAULT / "probe.json", run)
    head = RidgeHead.restore(shipped.head.config(), {key: 2 * value for key, value in shipped.head.tensors().items()})
    figures = json.loads((DEFAULT / "probe.json").read_text())
    for digest, kept in (({}, True), ({}, False), ({"head_digest": "0"}, False), ({"head_digest": fingerprint(head)}, True)):
        (run / "probe.json").write_text(json.dumps(figures | digest))
        ComplexityModel.from_pretrained(run).save_pretrained(tmp_path / "up")
        assert ("pearsonr" in (tmp_path / "up" / "README.md").read_text()) is kept
        assert (tmp_path / "up" / "probe.json").exists() is kept
        shutil.rmtree(tmp_path / "up")
        Model(shipped.encoder, head).save(run)  # from the second on


@pytest.mark.parametrize("text", ["{", "[]", '{"n": 3}'])
def test_figures_that_are_none_are_one_line(tmp_path, text):
    clicv2lite.load().save(tmp_path / "run")
    (tmp_path / "run" / "probe.json").write_text(text)
    with pytest.raises(UserError, match=r"run/probe\.json: not the figures of a head"):
        ComplexityModel.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "up")
    assert not (tmp_path / "up" / "README.md").exists()


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
    names = {"encoder.safetensors", "head.safetensors", "config.json", "README.md", "norms.json", "probe.json", "model_card.md"}
    assert set(files) == names
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def download(repo_id, **_):  # what comes back from the Hub is what went there
        assert repo_id == "me/complexity"
        return str(tmp_path)

    monkeypatch.setattr("clicv2lite.models.hub.snapshot_download", download)
    back = ComplexityModel.from_pretrained("me/complexity")
    np.testing.assert_allclose(back.scores(images), clicv2lite.load().scores(images), atol=1e-6)
    back.save_pretrained(tmp_path / "again")
    assert {name: (tmp_path / "again" / name).read_bytes() for name in files} == files, "with its card and figures"


def test_the_norms_that_are_saved_are_those_of_the_model(tmp_path):
    model = clicv2lite.load()
    mine = Norms("my own", fingerprint(model.head), np.linspace(0, 1, 3), half=np.array([0.2]), edges=np.array([]))
    ComplexityModel(model.encoder, model.head, mine).save_pretrained(tmp_path / "mine")
    assert ComplexityModel.from_pretrained(tmp_path / "mine").norms.to_json() == mine.to_json()
    ComplexityModel.of(model).save_pretrained(tmp_path / "whole")
    assert (tmp_path / "whole" / "norms.json").read_bytes() == (DEFAULT / "norms.json").read_bytes()
    head = RidgeHead.restore(model.head.config(), {key: 2 * value for key, value in model.head.tensors().items()})
    fresh = Norms("my own", fingerprint(head), np.linspace(0, 1, 3))
    ComplexityModel(model.encoder, head, fresh).save_pretrained(tmp_path / "fresh")
    assert ComplexityModel.from_pretrained(tmp_path / "fresh").norms.to_json() == fresh.to_json()


def test_the_names_of_the_package_are_no_repositories(monkeypatch):
    monkeypatch.setattr("clicv2lite.models.hub.snapshot_download", lambda *_, **__: pytest.fail("the Hub was asked"))
    for name in SHIPPED:
        assert ComplexityModel.from_pretrained(name).encoder.size == 448
    with pytest.raises(UserError, match="there is no such folder"):
        ComplexityModel.from_pretrained(Path("default"))  # a Path is never a name
    with pytest.raises(TypeError, match="devise"):
        ComplexityModel.from_pretrained("default", devise="cpu")
    with pytest.raises(UserError, match="--device nowhere"):
        ComplexityModel.from_pretrained("default", device="nowhere")
