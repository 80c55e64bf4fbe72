"""A tiny model and some pictures to score."""

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.encoder import EncoderConfig
from clicv2lite.features import FrozenConfig, FrozenEncoder
from clicv2lite.plain_vit import PlainViT
from clicv2lite.probe.head import Model, save_model
from clicv2lite.probe.ridge import fit_ridge


def make_model(folder, seed):
    torch.manual_seed(seed)
    config = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)
    encoder = FrozenEncoder("tiny", PlainViT(config), FrozenConfig(config))
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    folder.mkdir()
    save_model(folder, Model(encoder, fit_ridge(encoder.features(images), np.linspace(0.3, 0.7, 20))), "random")
    return str(folder)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of two models that disagree."""
    here = tmp_path_factory.mktemp("models")
    return make_model(here / "one", 0), make_model(here / "two", 1)


@pytest.fixture
def photos(tmp_path):
    """A folder of nine pictures, each of its own noise."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(9):
        pixels = np.random.default_rng(i).integers(0, 25 * (i + 1), (20 + i, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder
