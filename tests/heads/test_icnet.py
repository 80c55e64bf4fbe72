import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clicv2lite.errors import UserError
from clicv2lite.heads.icnet import IcnetHead, IcnetShape, IcnetTraining, LayoutAttention, fit_icnet

SMALL = IcnetShape(width=5, grid=6, channels=8)
BATCH_NORM = {"weight": 1, "bias": -0.5, "running_mean": -0.5, "running_var": 1}  # part -> the least of the values for it here


def rated(n=24, seed=0):
    """Tokens whose spread over places is the score."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.1, 0.9, n)
    tokens = torch.tensor(rng.normal(size=(n, 4, 4, 5)) * scores[:, None, None, None], dtype=torch.float32)
    return tokens, scores


def test_score_and_map_lie_in_0_to_1_and_have_their_shapes():
    score, complexity = IcnetHead(SMALL).eval()(100 * torch.randn(3, 4, 4, 5))
    assert score.shape == (3,) and complexity.shape == (3, 6, 6)
    assert ((score >= 0) & (score <= 1)).all() and ((complexity >= 0) & (complexity <= 1)).all()


@torch.no_grad()
def test_the_head_is_icnets_written_out():
    torch.manual_seed(0)
    head = IcnetHead(SMALL).eval()
    w = head.state_dict()
    for name in ("bring.1", "map.0.1", "look.0.1"):  # batch normalisation that does something
        for part, least in BATCH_NORM.items():
            w[f"{name}.{part}"].uniform_(least, least + 1)

    def resized(x, side):
        return F.interpolate(x, (side, side), mode="bilinear", align_corners=True)

    def convolved(x, name):
        x = F.conv2d(x, w[f"{name}.0.weight"], w[f"{name}.0.bias"], padding="same")
        scale, bias, mean, variance = (w[f"{name}.1.{part}"][:, None, None] for part in BATCH_NORM)
        return ((x - mean) / (variance + 1e-5).sqrt() * scale + bias).clamp(min=0)

    def perceptron(x, name):
        hidden = (x @ w[f"{name}.0.weight"].T + w[f"{name}.0.bias"]).clamp(min=0)
        return 1 / (1 + torch.exp(-(hidden @ w[f"{name}.2.weight"].T + w[f"{name}.2.bias"])))

    def arm(x, name):
        x = convolved(x, f"{name}.0")
        return x * perceptron(resized(x, 32).flatten(2), f"{name}.1.weigh")[..., None]

    tokens = torch.randn(2, 4, 3, 5)
    x = convolved(resized(tokens.movedim(-1, 1), 6), "bring")
    complexity = torch.sigmoid(F.conv2d(arm(x, "map"), w["map.2.weight"], w["map.2.bias"]))
    np.testing.assert_allclose(head.predict(tokens), perceptron(arm(x, "look").mean((2, 3)), "score")[:, 0], atol=1e-6)
    np.testing.assert_allclose(head.maps(tokens), complexity[:, 0], atol=1e-6)


def test_on_a_vit_b_the_head_has_the_6_4_million_parameters_of_icnets():
    def conv(c, out, k):
        return c * out * k * k + out + 2 * out  # weights, biases, batch normalisation

    slam = (32 * 32 * 512 + 512) + (512 + 1)
    want = conv(768, 512, 1) + 2 * (conv(512, 512, 3) + slam) + (512 + 1) + (512 * 512 + 512) + (512 + 1)
    with torch.device("meta"):
        got = sum(p.numel() for p in IcnetHead(IcnetShape(width=768, grid=28)).parameters())
    assert got == want and round(got / 1e6, 1) == 6.4


def test_attention_gives_each_channel_one_weight_in_0_to_1():
    x = torch.rand(2, 3, 6, 6, dtype=torch.float64) + 0.1  # float32 has too few digits to tell six weights apart
    ratio = LayoutAttention(hidden=4).double()(x) / x
    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert ((ratio > 0) & (ratio < 1)).all() and ratio[..., 0, 0].unique().numel() == 6


def test_attention_reads_the_whole_layout_not_its_mean():
    x = torch.rand(1, 1, 32, 32)
    attention = LayoutAttention(hidden=16)
    shuffled = x.flatten(2)[..., torch.randperm(32 * 32)].unflatten(2, (32, 32))
    weights = [(attention(v) / v).mean() for v in (x, shuffled)]
    assert not torch.isclose(weights[0], weights[1], atol=1e-7, rtol=0)


def test_the_head_overfits_a_small_set():
    tokens, scores = rated(12)
    head = fit_icnet(tokens, scores, SMALL, IcnetTraining(epochs=60, lr=0.3, batch_size=12), seed=0)
    assert np.corrcoef(head.predict(tokens), scores)[0, 1] > 0.95
    assert np.corrcoef(head.maps(tokens).mean((1, 2)), scores)[0, 1] > 0.8  # the map's mean is trained too


def test_the_same_seed_gives_the_same_head_and_leaves_the_global_generator_alone():
    tokens, scores = rated()
    training = IcnetTraining(epochs=2, batch_size=8)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again = (fit_icnet(tokens, scores, SMALL, training, seed=3) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(first.predict(tokens), again.predict(tokens))
    assert (first.predict(tokens) != fit_icnet(tokens, scores, SMALL, training, seed=4).predict(tokens)).any()


def test_training_is_sgd_on_the_weighted_loss_of_shuffled_batches():
    tokens, scores = rated(8)
    training = IcnetTraining(epochs=2, lr=0.1, momentum=0.9, weight_decay=0.01, batch_size=5)
    got = fit_icnet(tokens, scores, SMALL, training, seed=1)
    torch.manual_seed(1)
    want, target = IcnetHead(SMALL), torch.tensor(scores, dtype=torch.float32)
    order = torch.Generator().manual_seed(1)
    velocity = [torch.zeros_like(p) for p in want.parameters()]
    for rows in [part for _ in range(2) for part in torch.randperm(8, generator=order).split(5)]:
        score, complexity = want(tokens[rows])
        loss = 0.9 * F.mse_loss(score, target[rows]) + 0.1 * F.mse_loss(complexity.mean((1, 2)), target[rows])
        gradients = torch.autograd.grad(loss, list(want.parameters()))
        for p, v, gradient in zip(want.parameters(), velocity, gradients, strict=True):
            v.mul_(0.9).add_(gradient + 0.01 * p.detach())
            p.data.sub_(0.1 * v)
    for (name, trained), expected in zip(got.named_parameters(), want.parameters(), strict=True):
        torch.testing.assert_close(trained, expected, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_predictions_do_not_depend_on_the_batch():
    tokens, scores = rated(70)
    head = fit_icnet(tokens, scores, SMALL, IcnetTraining(epochs=1), seed=0)
    alone = np.concatenate([head.predict(tokens[i : i + 1]) for i in range(70)])
    np.testing.assert_allclose(head.predict(tokens), alone, atol=1e-6)


def test_half_precision_tokens_train_as_float32_ones():
    tokens, scores = rated()
    training = IcnetTraining(epochs=3, batch_size=8)
    half = fit_icnet(tokens.half(), scores, SMALL, training, seed=0)
    np.testing.assert_allclose(
        half.predict(tokens.half()), fit_icnet(tokens, scores, SMALL, training, seed=0).predict(tokens), atol=1e-3
    )


def test_restoring_gives_the_same_head():
    tokens, scores = rated()
    head = fit_icnet(tokens, scores, SMALL, IcnetTraining(epochs=1), seed=0)
    again = IcnetHead.restore(head.config(), head.tensors())
    np.testing.assert_array_equal(again.predict(tokens), head.predict(tokens))
    np.testing.assert_array_equal(again.maps(tokens), head.maps(tokens))


@pytest.mark.parametrize("epochs, said", [(3, "the loss became nan"), (1, "its predictions are not finite")])
def test_what_is_not_finite_is_the_users_learning_rate(epochs, said):
    tokens, scores = rated()
    with pytest.raises(UserError, match=f"--head icnet: {said}; lower --lr"):
        fit_icnet(tokens, scores, SMALL, IcnetTraining(epochs=epochs, lr=1e30), seed=0)
