"""Both sides of an input row give the same batches of the same images."""

import io
import sys
import tarfile

import pytest
import torch
from PIL import Image

from clicv2lite.bench.peers import input as peers_input
from clicv2lite.bench.peers import jpegs
from clicv2lite.bench.peers.row import row_of
from clicv2lite.data.sources import open_images


def test_files_and_tars_hold_the_same_images_and_vanish():
    stored = jpegs.stored()
    files = {path.name: path.read_bytes() for path in stored.folder.iterdir()}
    assert len(files) == 8 and len(stored.tars) == 2 and stored.what.startswith("8 JPEGs")
    members = {}
    for path in stored.tars:
        with tarfile.open(path) as tar:
            members |= {member.name: tar.extractfile(member).read() for member in tar}
    assert members == files
    stored.whole.cleanup()
    assert not stored.folder.exists()


@pytest.mark.parametrize("kind", ["files", "tars"])
@pytest.mark.parametrize("workers", [1, 2])
def test_our_feed_reads_every_image_once(kind, workers):
    stored = jpegs.stored()
    images = open_images([str(stored.folder)] if kind == "files" else stored.tars)
    assert peers_input.own_pass(images, workers) == [torch.Size([2, 3, 16, 16])] * 4
    recipe = peers_input.recipe_of(images, workers)
    assert (recipe.steps, recipe.store, recipe.crop, recipe.workers) == (4, 0, "resized", workers)


@pytest.mark.posix
def test_plain_files_row():
    found = row_of(peers_input.comparisons()[0])
    assert found.failed is None and found.ratio > 0 and found.flops == {} and "1 worker" in found.name


@pytest.mark.posix
@pytest.mark.parametrize("workers", [1, 2])
def test_tars_row(workers):
    pytest.importorskip("webdataset", reason="webdataset is no dependency; `clicv2lite bench --peers` installs it")
    found = row_of(peers_input.comparisons()[1 + workers])
    assert found.failed is None and found.ratio > 0 and found.peer == "webdataset"


def test_a_missing_webdataset_is_a_row(monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    assert "webdataset" in row_of(peers_input.comparisons()[2]).failed


def test_the_plain_crop_is_a_part_of_the_image():
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 20, 90)).save(stream, "JPEG", quality=95)
    crop = peers_input.Cropped()(stream.getvalue())
    assert crop.shape == (3, 16, 16) and crop.dtype == torch.uint8
    assert (crop.float().mean((1, 2)) - torch.tensor([200.0, 20.0, 90.0])).abs().max() < 4


def test_samples_are_stacked():
    assert torch.equal(peers_input.stacked([(torch.zeros(2),), (torch.ones(2),)]), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
