"""A module of the user's as an encoder: maps, tokens, vectors and lists, against numpy."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from clicv2lite import ComplexityRegressor
from clicv2lite.encoders.module import ModuleEncoder
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.errors import UserError
from clicv2lite.heads.icnet import IcnetHead, IcnetShape
from clicv2lite.method.pixels import normalize
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.model import Model
from tests.encoders.test_frozen import pictures

MAP = nn.Conv2d(3, 5, 8, 8)


class Gives(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.map, self.output = MAP, output

    def forward(self, images):
        return self.output(self.map(images))


@torch.no_grad()
@pytest.mark.parametrize("output", [lambda m: m, lambda m: m.flatten(2).mT], ids=["map", "tokens"])
def test_maps_and_tokens_are_pooled_over_their_places(output):
    images = pictures(2, 32)
    values = MAP(normalize(images / 255)).double().flatten(2).numpy()
    got = ModuleEncoder(Gives(output), 32).features(images)
    np.testing.assert_allclose(got, np.concatenate([values.mean(2), values.std(2)], 1), rtol=1e-4, atol=1e-5)


def test_vectors_have_one_place_and_lists_stand_side_by_side():
    vector = ModuleEncoder(Gives(lambda m: m.mean((2, 3))), 32).features(pictures(2, 32))
    assert vector.shape == (2, 10) and not vector[:, 5:].any()
    both = ModuleEncoder(Gives(lambda m: [m, m[:, :2, ::2]]), 32, ("mean",))
    assert both.features(pictures(2, 32)).shape == (2, 7) and both.feature_count == 7
    assert both.tokens(pictures(2, 32)).shape == (2, 2, 4, 2)


def test_it_is_read_at_another_side_or_by_other_statistics_and_in_no_other_way():
    images, narrow = pictures(2, 40), ModuleEncoder(Gives(lambda m: m), 32)  # 5 channels: no width of a ViT
    values = MAP(normalize(images / 255)).detach().double().flatten(2).numpy()
    narrow.name = "mine:build"
    read = narrow.read_as({"pool_statistics": ("max",), "pool_size": 40})
    np.testing.assert_allclose(read.features(images), values.max(2), rtol=1e-4, atol=1e-5)
    assert (read.size, read.name, read.feature_count) == (40, "mine:build", 5)
    assert narrow.read_as({}) is narrow and narrow.read_as({"pool_size": 40}).config.pool.statistics == ("mean", "std")
    for pooling, message in (
        (
            {"pool_read": "likeness"},
            "--set pool_read: of a module of your own only pool_size and pool_statistics can be",
        ),
        ({"pool_statistics": ()}, "--set pool_statistics: name at least one"),
        ({"pool_size": -8}, "--set pool_size=-8: "),
        ({"pool_size": 4}, "encoder: the module cannot read images of 4 px"),
    ):
        with pytest.raises(UserError, match=f"^{message}"):
            narrow.read_as(pooling)


def test_its_digest_knows_its_code_and_takes_weights_of_any_type():
    mean, half = Gives(lambda m: m.mean((2, 3))), Gives(lambda m: m.mean((2, 3)))
    half.register_buffer("unused", torch.ones(2, dtype=torch.bfloat16))
    digest = ModuleEncoder(mean, 32).digest()
    assert digest == ModuleEncoder(mean, 32).digest()
    others = ModuleEncoder(Gives(lambda m: m.amax((2, 3))), 32), ModuleEncoder(half, 32), ModuleEncoder(mean, 40)
    assert digest not in {other.digest() for other in others}


def test_its_model_with_icnets_head_is_a_module_too():
    torch.manual_seed(0)
    model, images = Model(ModuleEncoder(Gives(lambda m: m), 32), IcnetHead(IcnetShape(5, 4, 4))), torch.rand(2, 3, 32, 32)
    np.testing.assert_allclose(model.as_module()(images).numpy(), model.score(images), atol=1e-5)


def test_one_without_weights_stands_beside_others():
    gray = ModuleEncoder(nn.AvgPool2d(8), 32, ("mean",))
    both = SideBySide("both", [gray, ModuleEncoder(Gives(lambda m: [m, m[:, :2]]), 32)])
    assert both.tokens(pictures(2, 32)).equal(gray.tokens(pictures(2, 32)))
    assert both.device == torch.device("cpu") and both.features(pictures(2, 32)).shape == (2, 17) == (2, both.feature_count)


def test_features_only_of_timm_and_the_regressor_take_it():
    net = timm.create_model("test_resnet", features_only=True)
    encoder = load_encoder(net)
    assert encoder.size == 224 and encoder.features(pictures(1, 224)).shape == (1, 2 * sum(net.feature_info.channels()))
    fitted = ComplexityRegressor(Gives(lambda m: m)).fit([*pictures(3, 40)], [0.1, 0.5, 0.9])
    assert fitted.predict([*pictures(3, 40)]).shape == (3,)


@pytest.mark.parametrize(
    "output",
    [lambda m: 3, lambda m: m[0, 0, 0], lambda m: {"a": m}, lambda m: m @ m[..., :3, :], lambda m: [], lambda m: ()],
    ids=range(6),
)
def test_what_gives_no_features_and_what_cannot_be_stored_is_one_line(output):
    with pytest.raises(UserError, match="encoder: the module") as caught:
        ModuleEncoder(Gives(output), 32)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="give another size, or a module that takes float32"):
        ModuleEncoder(nn.Conv2d(3, 5, 8, 8).half(), 32)
    with pytest.raises(UserError, match="--out: a module of your own cannot be stored"):
        ModuleEncoder(MAP, 32).check_storable("--out")
