"""The supervised baselines: parameters counted by hand, each part against loops, every weight reached by the loss."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from clicv2lite.baselines.supervised import networks
from clicv2lite.baselines.supervised.backbones import resnet, stages, weights_file, widths
from clicv2lite.baselines.supervised.networks import BASELINES, hyperiqa, iccorn, kyle, p2pfm
from clicv2lite.baselines.supervised.networks.hyperiqa import HyperIQA
from clicv2lite.baselines.supervised.networks.iccorn import ICCORN, RANKS, corn_loss, expected_rank
from clicv2lite.baselines.supervised.networks.icnet import TwoBranches
from clicv2lite.baselines.supervised.networks.p2pfm import P2PFM
from clicv2lite.baselines.supervised.settings import SIZES
from clicv2lite.errors import UserError

RESNET = {"resnet18": 11_689_512, "resnet50": 25_557_032, "resnet152": 60_192_808}  # torchvision's page, 1000 classes


def count(net):
    return sum(p.numel() for p in net.parameters())


def images(n=2, side=64, seed=0):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def conv(inputs, out, kernel):
    """Convolution with bias, and the two vectors of its batch normalisation."""
    return inputs * out * kernel**2 + out + 2 * out


def linear(inputs, out):
    return inputs * out + out


def slam(layout):
    return linear(layout**2, 512) + linear(512, 1)


def two_branches(name, width):
    """ResNet without classifier, its first two stages again, six SLAMs, two 1 x 1 convolutions."""
    whole = RESNET[name] - linear(width[3], 1000)
    with torch.device("meta"):
        near = count(stages(resnet(name))[:2])
    return whole + near + 4 * slam(32) + slam(16) + slam(8) + conv(width[1], 256, 1) + conv(width[3], 256, 1)


@pytest.mark.parametrize("name", RESNET)
def test_backbone_is_the_published_resnet_without_its_classifier(name):
    with torch.device("meta"):
        net = resnet(name)
    assert count(stages(net)) == count(net) == RESNET[name] - linear(widths(net)[3], 1000)


@torch.no_grad()
def test_stages_have_the_strides_and_widths_that_they_claim():
    net = resnet("resnet18")
    x, found = images(1), []
    for stage in stages(net):
        x = stage(x)
        found.append(x.shape[1:])
    assert found == [(c, 64 // s, 64 // s) for c, s in zip(widths(net), (4, 8, 16, 32), strict=True)]


def test_parameters_are_the_sum_of_the_parts_that_the_papers_describe():
    arms = 2 * conv(512, 512, 3) + 2 * slam(32) + linear(512, 1) + linear(512, 512) + linear(512, 1)
    target = (224, 112, 56, 28, 14)
    hyper = sum(linear(112 * 9, i * o // 49) for i, o in itertools.pairwise(target)) + linear(112, 14)
    hyper += sum(linear(112, o) for o in (112, 56, 28, 14, 1))
    local = 256 * 16 + 512 * 32 + 1024 * 64 + linear(16 * 64, 16) + linear(32 * 16, 16) + linear(64 * 4, 16) + linear(2048, 176)
    semantic = linear(2048, 1024) + linear(1024, 512) + linear(512, 112)

    def head(n):
        return 2 * n + linear(n, 512) + 2 * 512 + linear(512, 1)

    decoder = conv(512 + 256, 256, 3) + conv(256 + 128, 128, 3) + conv(128 + 64, 64, 3) + conv(64, 32, 3) + linear(32, 1)
    body18, body50 = RESNET["resnet18"] - linear(512, 1000), RESNET["resnet50"] - linear(2048, 1000)
    want = {
        "icnet": two_branches("resnet18", (64, 128, 256, 512)) + arms,
        "iccorn": two_branches("resnet152", (256, 512, 1024, 2048))
        + conv(512, 512, 3) + slam(32) + linear(512, 512) + linear(512, 20),
        "hyperiqa": body50 + local + semantic + hyper,
        "p2pfm": body18 + head(1024) + head(1024 + 5),
        "kyle": body18 + decoder + linear(512 + 6, 512) + linear(512, 1),
    }  # fmt: skip
    for name, parameters in want.items():
        with torch.device("meta"):
            assert count(BASELINES[name].build(BASELINES[name].paper.backbone, "scratch")) == parameters, name
    in_docs = {"icnet": 20.3, "iccorn": 66.8, "hyperiqa": 27.4, "p2pfm": 12.2, "kyle": 13.8}
    assert all(round(want[name] / 1e6, 1) == value for name, value in in_docs.items())


@pytest.mark.parametrize("name", BASELINES)
def test_every_weight_is_reached_by_the_loss_and_scores_are_one_per_image(name):
    if name == "iccorn":
        pytest.importorskip("coral_pytorch", reason="coral-pytorch is not installed")
    torch.manual_seed(0)
    net = BASELINES[name].build("resnet18", "scratch").train()
    loss = net.loss(images(4), torch.tensor([0.0, 0.3, 0.8, 1.0]))
    loss.backward()
    assert loss.ndim == 0 and loss > 0
    idle = [k for k, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # the weights above the highest rank that occurs, and scores of parts that a dropout silenced, may rest for one batch
    assert not [k for k in idle if not k.endswith("bias")]
    with torch.no_grad():
        together, alone = net.eval().predict(images(4)), [net.predict(images(4)[i : i + 1]) for i in range(4)]
    assert together.shape == (4,)
    np.testing.assert_allclose(together, torch.cat(alone), rtol=1e-3, atol=1e-4)  # no image sees its neighbours


@torch.no_grad()
def test_icnets_branches_see_the_image_and_half_of_it():
    branches = TwoBranches().eval()
    x = images(1)
    seen = {}
    for name in ("detail", "context"):
        getattr(branches, name)[0].register_forward_hook(lambda m, given, out, name=name: seen.update({name: given[0]}))
    out = branches(x)
    assert out.shape == (1, 512, 8, 8) and seen["detail"].equal(x)
    assert seen["context"].equal(F.interpolate(x, (32, 32), mode="bilinear", align_corners=True))
    far = branches.context
    y = seen["context"]
    for stage, attend in zip(far, branches.context_attention, strict=True):
        y = stage(y)
        layout = F.interpolate(y, (attend.layout,) * 2, mode="bilinear", align_corners=True).flatten(2)
        y = y * attend.weigh(layout)[..., None]
    y = branches.bring_context[0](F.interpolate(y, (8, 8), mode="bilinear", align_corners=True))
    np.testing.assert_allclose(out[:, 256:], branches.bring_context[1](y).relu(), atol=1e-5)
    assert [a.layout for a in branches.context_attention] == [32, 32, 16, 8]


SCORE, PARTS, MAP = torch.tensor([0.2, 0.9]), torch.linspace(0, 1, 10).view(2, 5), torch.linspace(0, 1, 32).view(2, 4, 4)
RATINGS = torch.tensor([0.5, 0.1])


def squared(found):
    return np.mean([(s - t) ** 2 for s, t in zip(found.tolist(), RATINGS.tolist(), strict=True)])


MADE = {
    "icnet": ((SCORE, MAP), 0.9 * squared(SCORE) + 0.1 * squared(MAP.mean((1, 2)))),
    "kyle": ((SCORE, MAP), 0.9 * squared(SCORE) + 0.1 * squared(MAP.mean((1, 2)))),
    "p2pfm": ((SCORE, PARTS), squared(SCORE) + squared(PARTS[:, 0])),  # the first one is the whole image
    "hyperiqa": (SCORE, (0.3 + 0.8) / 2),
}
"""Baseline -> what its network makes of two images, and the loss of that."""


@pytest.mark.parametrize("name", MADE)
def test_a_loss_is_that_of_the_docstring_and_the_prediction_the_score(monkeypatch, name):
    build, (made, loss) = BASELINES[name].build, MADE[name]
    monkeypatch.setattr(build, "forward", lambda self, x: made)
    with torch.device("meta"):
        net = build("resnet18", "scratch")
    assert float(net.loss(images(), RATINGS)) == pytest.approx(loss, rel=1e-5)
    assert net.predict(images()).equal(SCORE)


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-6, 6)))
@settings(deadline=None)
def test_expected_rank_is_the_mean_of_the_ranks_distribution(logits):
    got = expected_rank(torch.from_numpy(logits))
    for row, value in zip(1 / (1 + np.exp(-logits)), got.tolist(), strict=True):
        above = [1.0, *np.cumprod(row), 0.0]  # P(rank > k - 1)
        chance = [above[k] - above[k + 1] for k in range(len(row) + 1)]
        assert sum(chance) == pytest.approx(1)
        assert value == pytest.approx(sum(k * p for k, p in enumerate(chance)), abs=1e-5)


def test_corn_loss_asks_each_threshold_of_the_images_that_reach_it():
    pytest.importorskip("coral_pytorch", reason="coral-pytorch is not installed")
    rng = np.random.default_rng(0)
    logits, ranks = rng.normal(size=(9, 4)), rng.integers(0, 5, 9)
    terms = []
    for row, rank in zip(logits, ranks, strict=True):
        for k, logit in enumerate(row):
            if rank >= k:
                p = 1 / (1 + np.exp(-logit))
                terms.append(-np.log(p if rank > k else 1 - p))
    assert float(corn_loss(torch.from_numpy(logits), torch.from_numpy(ranks))) == pytest.approx(np.mean(terms))


def test_without_coral_pytorch_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "coral_pytorch.losses", None)
    with pytest.raises(UserError, match=r"--model iccorn needs the package coral-pytorch, .*'\.\[supervised\]'"):
        corn_loss(torch.zeros(2, 3), torch.tensor([0, 1]))


def test_iccorn_reads_ratings_as_ranks_and_ranks_as_scores(monkeypatch):
    seen = []
    monkeypatch.setattr(iccorn, "corn_loss", lambda logits, ranks: seen.append(ranks) or logits.sum())
    monkeypatch.setattr(ICCORN, "forward", lambda self, x: torch.full((len(x), RANKS - 1), 40.0))
    net = ICCORN("resnet18")
    net.loss(images(3), torch.tensor([0.0, 0.524, 1.0]))
    assert seen[0].tolist() == [0, 10, 20] and net.predict(images(1)).tolist() == pytest.approx([1.0])


@torch.no_grad()
def test_hyperiqa_runs_a_network_of_each_images_own():
    torch.manual_seed(0)
    net = HyperIQA("resnet18").eval()
    x = images(3)
    for i, got in enumerate(net(x).tolist()):
        found, y = [], x[i : i + 1]
        for stage in net.backbone["stages"]:
            y = stage(y)
            found.append(y)
        semantic = F.adaptive_avg_pool2d(net.semantic(y), 7)
        z = net.backbone["local"](found)[0].double().numpy()
        assert z.shape == (224,)
        for number, layer in enumerate(net.hyper):
            weight, bias = (t[0].double().numpy() for t in layer(semantic))
            z = np.array([sum(w * v for w, v in zip(row, z, strict=True)) + b for row, b in zip(weight, bias, strict=True)])
            z = z if number == 4 else 1 / (1 + np.exp(-z))
        assert got == pytest.approx(z[0], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("side, cells", [(56, 8), (28, 4), (14, 2)])
def test_at_224_pixels_hyperiqas_cells_are_windows_of_seven(side, cells):
    assert (4, cells) in [(4, c) for _, c in hyperiqa.LOCAL]
    x = torch.rand(1, 2, side, side)
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, cells), F.avg_pool2d(x, 7, 7), rtol=1e-5)


def test_hyperiqas_target_weights_cover_every_layer():
    with torch.device("meta"):
        layers = HyperIQA().hyper
    assert [layer.shape for layer in layers] == [(112, 224), (56, 112), (28, 56), (14, 28), (1, 14)]
    assert [isinstance(layer.weight, nn.Conv2d) for layer in layers] == [True] * 4 + [False]


def test_p2p_cuts_the_image_and_its_quadrants():
    x = torch.randn(2, 3, 4, 4)
    got = p2pfm.cut(x)
    assert got.shape == (2, 5, 6)
    halves = (slice(0, 2), slice(2, 4))
    for i in range(2):
        quadrants = [x[i, :, y, z] for y in halves for z in halves]
        whole = torch.stack([q.amax((1, 2)) for q in quadrants], dim=1)
        np.testing.assert_allclose(got[i, 0], torch.cat([whole.amax(1), whole.mean(1)]), rtol=1e-5)
        for number, quadrant in enumerate(quadrants, 1):
            np.testing.assert_allclose(got[i, number], torch.cat([quadrant.amax((1, 2)), quadrant.mean((1, 2))]), rtol=1e-5)


@torch.no_grad()
def test_p2p_feeds_the_first_scores_back():
    net = P2PFM().eval()
    final, scores = net(images(2, 128))
    assert final.shape == (2,) and scores.shape == (2, 5)
    weight = net.final[2].weight
    weight[:, -5:] += 100  # the last inputs of the second head are the scores
    changed, same = net(images(2, 128))
    assert same.equal(scores) and not torch.allclose(changed, final)


@given(arrays(np.float32, (2, 32, 32), elements=st.floats(0, 1, width=16)))
@settings(max_examples=10, deadline=None)
def test_clutter_is_the_mean_deviation_within_windows(luma):
    got = kyle.clutter(torch.from_numpy(luma)[:, None])
    for i, picture in enumerate(luma.astype(float)):
        for j, side in enumerate((4, 8, 16)):
            cells = [picture[y : y + side, x : x + side].std() for y in range(0, 32, side) for x in range(0, 32, side)]
            assert float(got[i, j]) == pytest.approx(np.mean(cells), abs=2e-3)


def test_a_mirrored_picture_is_symmetric_about_that_axis_only():
    half = torch.rand(1, 1, 8, 4)
    left_right, top_bottom = kyle.symmetry(torch.cat([half, half.flip(-1)], dim=-1))[0].tolist()
    assert left_right == 1 and top_bottom < 0.99


def test_imagenet_weights_come_from_the_hub_folder_or_one_line_says_where(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"--weights imagenet: there is no .*resnet18.*train from scratch"):
        resnet("resnet18", "imagenet")
    from torchvision.models import resnet18

    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(3)
    given_net = resnet18(weights=None)
    url_name = "resnet18-f37072fd.pth"
    torch.save(given_net.state_dict(), tmp_path / "checkpoints" / url_name)
    assert weights_file("resnet18").name == url_name
    assert resnet("resnet18", "imagenet").conv1.weight.equal(given_net.conv1.weight)


def test_every_file_of_the_folder_is_a_baseline_of_its_name():
    files = {path.stem for path in Path(networks.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == BASELINES.keys() >= {"hyperiqa", "iccorn", "icnet", "kyle", "p2pfm"}
    assert {name for name, baseline in BASELINES.items() if "abstract" in baseline.source} == {"iccorn", "kyle", "p2pfm"}
    assert all(baseline.settings(size).backbone for baseline in BASELINES.values() for size in SIZES)
