from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.method.clicv2 import CLICv2, ModelConfig
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import EncoderConfig, encode_visible
from clicv2lite.method.infonce import NEGATIVES, infonce_dense
from clicv2lite.method.masking import take
from clicv2lite.method.views import ViewConfig, draws_per_image, make_views, uniform

CONFIG = ModelConfig(encoder=EncoderConfig(16, 4, 8, 1, 2, project=6), decoder=DecoderConfig(8, 1, 2))
VIEWS = ViewConfig(size=16, patch=4)


def model_of(config=CONFIG, seed=0):
    """A model whose key encoder is not the query encoder any more."""
    torch.manual_seed(seed)
    model = CLICv2(config)
    for p in [*model.key.parameters(), *model.key_head.parameters()]:
        p.data.add_(0.1 * torch.randn_like(p))
    return model


def views_of(b=3, config=VIEWS):
    images = torch.randint(0, 256, (b, 3, 20, 20), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return make_views(images, uniform(0, np.zeros(b, np.int64), np.arange(b), draws_per_image(config)), config)


def key_tokens(model, views):
    """(B, V, D) of the visible patches; the key encoder saw those, or all 16."""
    if views.key.shape[1] == 16:
        return take(encode_visible(model.key, views.key, torch.arange(16).repeat(len(views.key), 1)), views.visible)
    return encode_visible(model.key, views.key, views.visible)


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("key", ["visible", "full"])
@torch.no_grad()
def test_the_loss_is_contrast_plus_lambda_times_reconstruction(negatives, key):
    model = model_of(replace(CONFIG, negatives=negatives, auxiliary_weight=0.7, temperature=0.3))
    views = views_of(config=replace(VIEWS, key_patches=key))
    out = model(views)
    tokens = encode_visible(model.query, views.query, views.visible)
    q = model.query_head(tokens)
    k = model.key_head(key_tokens(model, views))
    np.testing.assert_allclose(out.queries, q, atol=1e-6)
    np.testing.assert_allclose(out.keys, k, atol=1e-6)
    np.testing.assert_allclose(out.contrast, infonce_dense(q, k, views.visible, 0.3, negatives), rtol=1e-5)
    prediction = model.decoder(tokens, views.visible, views.masked)
    errors = [float((prediction[b, m, 0] - views.target[b, m, 0]) ** 2) for b, m in np.ndindex(views.masked.shape)]
    assert float(out.auxiliary) == pytest.approx(np.mean(errors), rel=1e-4)
    assert float(out.total) == pytest.approx(float(out.contrast) + 0.7 * float(out.auxiliary), rel=1e-6)


@pytest.mark.parametrize("key", ["visible", "full"])
@torch.no_grad()
def test_whole_images_are_compared_by_their_mean_visible_tokens_wherever_those_are(key):
    model = model_of(replace(CONFIG, compare="image", negatives="same-position", temperature=0.3))
    views = views_of(config=replace(VIEWS, key_patches=key))
    q = model.query_head(encode_visible(model.query, views.query, views.visible).mean(1))
    k = model.key_head(key_tokens(model, views).mean(1))
    out = model(views)
    np.testing.assert_allclose(out.queries[:, 0], q, atol=1e-6)
    np.testing.assert_allclose(out.keys[:, 0], k, atol=1e-6)
    np.testing.assert_allclose(out.contrast, F.cross_entropy(q @ k.T / 0.3, torch.arange(3)), rtol=1e-5)


@pytest.mark.parametrize("target, numbers", [("pixels", 48), ("frequency", 12)])
def test_other_targets_are_averaged_over_their_numbers(target, numbers):
    model, views = model_of(replace(CONFIG, target_size=numbers)), views_of(config=replace(VIEWS, target=target))
    tokens = encode_visible(model.query, views.query, views.visible)
    want = F.mse_loss(model.decoder(tokens, views.visible, views.masked), views.target)
    assert float(model(views).auxiliary.detach()) == pytest.approx(float(want.detach()), rel=1e-5)


def test_with_nothing_masked_there_is_nothing_to_reconstruct():
    views = views_of(config=replace(VIEWS, mask_ratio=0.0))
    model = model_of()
    out = model(views)
    assert out.auxiliary == 0 and out.auxiliary.dtype == torch.float32 and out.total.equal(out.contrast)
    out.total.backward()
    assert all(p.grad is not None for p in model.query_head.parameters())


@pytest.mark.parametrize("b", [1, 3])
def test_one_visible_patch_is_enough(b):
    views = views_of(b, replace(VIEWS, mask_ratio=0.99))
    assert views.visible.shape == (b, 1) and views.masked.shape == (b, 15)
    out = model_of()(views)
    assert out.total.isfinite() and (b > 1 or abs(out.contrast.item()) < 1e-6)


@pytest.mark.parametrize("class_token", [False, True])
def test_gradients_reach_everything_but_the_key_encoder_and_the_positions(class_token):
    model = model_of(replace(CONFIG, encoder=replace(CONFIG.encoder, class_token=class_token)))
    out = model(views_of())
    assert not out.queries.requires_grad and not out.keys.requires_grad
    out.total.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == {name for name, _ in model.named_parameters() if name.startswith("key")} | {"query.pos_embed"}
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == without


def test_a_new_key_encoder_is_the_query_encoder():
    model = CLICv2(CONFIG)
    views = views_of(config=replace(VIEWS, augment="none", max_shift=0))
    out = model(views)
    assert out.queries.equal(out.keys)


@given(st.floats(0, 1), st.integers(0, 99))
def test_the_key_encoder_moves_by_one_minus_the_momentum(momentum, seed):
    model = model_of(replace(CONFIG, momentum=momentum), seed)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.update_key()
    for name, value in model.state_dict().items():
        if not name.startswith("key"):
            assert value.equal(before[name])
            continue
        query = before["query" + name.removeprefix("key")].double().numpy()
        want = momentum * before[name].double().numpy() + (1 - momentum) * query
        np.testing.assert_allclose(value, want, atol=1e-6)


@pytest.mark.parametrize("momentum, source", [(1.0, "key"), (0.0, "query")])
def test_momentum_one_keeps_the_key_and_zero_copies_the_query(momentum, source):
    model = model_of(replace(CONFIG, momentum=momentum))
    want = {name: value.clone() for name, value in getattr(model, source).state_dict().items()}
    model.update_key()
    assert all(value.equal(want[name]) for name, value in model.key.state_dict().items())


def test_losses_and_features_do_not_depend_on_the_order_of_the_images():
    model, views = model_of(), views_of(4)
    order = torch.tensor([2, 0, 3, 1])
    out, other = model(views), model(type(views)(*[x[order] for x in views]))
    assert other.total.item() == pytest.approx(out.total.item(), rel=1e-5)
    np.testing.assert_allclose(other.queries, out.queries[order], atol=1e-5)
