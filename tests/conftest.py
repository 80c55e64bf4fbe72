"""For the whole suite: one thread a process, property tests that no slow machine fails, a few images and models."""

# ruff: noqa: E402 (the number of threads is set before torch is imported)
import os
import shutil
import signal

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; the commands that tests start inherit it
settings.register_profile("clicv2lite", deadline=None, max_examples=25, derandomize="CI" in os.environ)
settings.load_profile("clicv2lite")
signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest in the background is born deaf to it

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models.model import Model


def pytest_collection_modifyitems(items):
    for item in items:
        if os.name == "nt" and item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs what Windows lacks"))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """made_once(name, make): a folder that make(folder) has filled, once for all processes of pytest; nobody changes it."""
    here = tmp_path_factory.getbasetemp()
    shared = here.parent if "PYTEST_XDIST_WORKER" in os.environ else here

    def folder(name, make):
        place, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)  # of a process that failed
                place.mkdir()
                make(place)
                done.touch()
        return place

    return folder


def make_model(folder, seed):
    torch.manual_seed(seed)
    config = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)
    encoder = FrozenEncoder("tiny", PlainViT(config), FrozenConfig(config))
    contrast = torch.linspace(10, 120, 20).view(-1, 1, 1, 1)  # something to learn: else the head may give all images one score
    images = (128 + contrast * (2 * torch.rand(20, 3, 32, 32) - 1)).to(torch.uint8)
    Model(encoder, fit_ridge(encoder.features(images), np.linspace(0.3, 0.7, 20))).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of two models that disagree."""
    here = tmp_path_factory.mktemp("models")
    return make_model(here / "one", 0), make_model(here / "two", 1)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 10 small images of noise, of different sizes and contrasts."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = 128 + rng.uniform(-12 * i, 12 * i, (30 + i, 50 - i, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def on_seven():
    """on_seven(table): a table beside it with the same ratings on a scale of 1 to 7."""

    def scaled(table):
        header, *rows = table.read_text().splitlines()
        parts = [row.split(",") for row in rows]
        path = table.with_name(f"{table.stem}_of_7.csv")
        path.write_text("\n".join([header, *(f"{name},{1 + 6 * float(score)},{kind}" for name, score, kind in parts)]))
        return path

    return scaled
