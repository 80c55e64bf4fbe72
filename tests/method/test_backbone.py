"""Networks of timm's as encoders: counts of weights that others published, features and stages against timm called directly."""

import copy

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from clicv2lite.errors import UserError
from clicv2lite.method.backbone import NAMED, about, arguments, build_network, stages, wrong_name
from clicv2lite.method.encoder import SHAPES, EncoderConfig, build_encoder, build_vit, feature_width, prepare


@pytest.mark.parametrize(
    "name, millions, classifier",
    [("resnet50", 25.6, 2048), ("swin-b", 87.8, 1024), ("convnext_tiny", 28.6, 768)],  # He 2016, Liu 2021, Liu 2022
)
def test_a_network_has_as_many_weights_as_published(name, millions, classifier):
    with torch.device("meta"):
        net = build_network(name, 224)
    without = sum(p.numel() for p in net.parameters())
    assert round((without + (classifier + 1) * 1000) / 1e6, 1) == millions
    assert {"resnet50": 23.5, "swin-b": 86.7}.get(name, without / 1e6) == pytest.approx(without / 1e6, abs=0.05)


@pytest.mark.parametrize("name, patch, millions", [("vit-s", 16, 22.1), ("vit-b", 16, 86.6), ("vit-l", 16, 304.3)])
def test_a_vit_has_as_many_weights_as_published(name, patch, millions):
    width, depth, heads = SHAPES[name]  # Touvron 2021 for S, Dosovitskiy 2021 for B and L, with classifier and class token
    with torch.device("meta"):
        vit = build_vit(EncoderConfig(224, patch, width, depth, heads, class_token=True))
    assert round((sum(p.numel() for p in vit.parameters()) + (width + 1) * 1000) / 1e6, 1) == millions


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet-lite", "swin-lite", "test_convnext", "test_efficientnet"])
def test_one_feature_per_image_and_the_last_four_maps_of_timm(name):
    net, what = build_network(name, 64).eval(), about(name)
    images, maps = torch.rand(2, 3, 64, 64), []
    for stage in stages(net):
        stage.register_forward_hook(lambda module, given, output: maps.append(output))
    features, seen = net(images), list(maps)
    want = net.forward_intermediates(images, output_fmt="NCHW", intermediates_only=True)[-4:]
    assert features.shape == (2, what.features) == (2, feature_width(EncoderConfig(64, backbone=name)))
    assert [w.shape[1] for w in want] == list(what.widths) and want[-1].shape[-1] * what.stride == 64
    for got, wanted in zip(seen, want, strict=True):
        torch.testing.assert_close(got if got.shape == wanted.shape else got.permute(0, 3, 1, 2), wanted)


@torch.no_grad()
def test_the_feature_of_a_resnet_is_the_mean_of_its_last_map_and_that_of_our_vit_its_mean_token():
    net, images = build_network("resnet-lite", 64).eval(), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(net(images), net.forward_features(images).mean((2, 3)))
    vit = build_encoder(EncoderConfig(32, 8, 16, 2, 2, class_token=True))
    assert vit(images[..., :32, :32]).equal(vit.forward_features(images[..., :32, :32])[:, 1:].mean(1))
    assert len(stages(vit)) == 2 and stages(vit)[0] is vit.blocks[0]


def test_nothing_in_a_network_is_random_during_training():
    net = build_network("swin-lite", 64)
    dropouts = [part.p for part in net.modules() if isinstance(part, nn.Dropout)]
    paths = [part.drop_prob for part in net.modules() if isinstance(part, DropPath)]
    assert dropouts and paths and not any(dropouts + paths)
    assert not build_network("swin_tiny_patch4_window7_224", 64).train()(torch.rand(2, 3, 64, 64)).isnan().any()


@torch.no_grad()
def test_a_swin_takes_oblong_images_and_sizes_that_its_windows_do_not_tile():
    net = build_network("swin-lite", 64).eval()
    for size in ((96, 160), (288, 288), (32, 64)):
        maps = net.forward_intermediates(torch.rand(1, 3, *size), output_fmt="NCHW", intermediates_only=True)
        assert maps[-1].shape[-2:] == (size[0] // 32, size[1] // 32)
    plain = timm.create_model(**arguments("swin-lite", 64)).eval()
    plain.load_state_dict(net.state_dict())
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(net(images), plain(images))  # ours runs channels last: other sums, other rounding


@pytest.mark.parametrize("name", ["swin-lite", "resnet-lite", "efficientnet_b0"])
def test_checkpointing_changes_no_gradient_and_no_average(name):
    """Batch norm averages over the images that it sees; those of a backward pass it has seen already."""
    torch.manual_seed(0)
    start, images = build_network(name, 64).train(), torch.rand(2, 3, 64, 64)
    found = []
    for checkpointing in (False, True):
        net = copy.deepcopy(start)
        prepare(net, checkpointing=checkpointing)
        for _ in range(2):
            torch.manual_seed(1)  # dropped paths
            net(images).square().sum().backward()
        found.append([*(p.grad for p in net.parameters()), *net.buffers()])
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


def test_a_network_whose_maps_are_no_outputs_of_modules_has_no_stages():
    with torch.device("meta"):
        net = timm.create_model("hrnet_w18_small", num_classes=0)
    with pytest.raises(UserError, match="backbone: its maps are not outputs of modules"):
        stages(net)


@pytest.mark.parametrize("name", ["", "vit-b", "hf-hub:timm/resnet50", "local-dir:/tmp", "resnet50.nonsense", "x" * 1000])
def test_what_is_no_network_is_refused_and_never_asked_for(name, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was made"))
    assert wrong_name(name)


def test_names_of_our_own_are_networks():
    assert all(wrong_name(name) is None for name in (*NAMED, "resnet50", "swin_base_patch4_window7_224", "convnext_tiny"))
    assert not timm.is_model("swin-b")  # or it would be ambiguous


def test_a_convolution_gets_its_channels_side_by_side_and_the_result_stays():
    """Views have their colours one after the other; the network rearranges them once, and gives what timm's own gives."""
    net, seen = build_network("resnet-lite", 64).eval(), []
    net.conv1.register_forward_hook(lambda conv, given, result: seen.extend([given[0], result]))
    images = torch.randn(2, 3, 64, 64)
    plain = timm.create_model(**arguments("resnet-lite", 64)).eval()
    plain.load_state_dict(net.state_dict())
    assert torch.allclose(net(images), plain(images), atol=1e-5)
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in seen) and len(seen) == 2
