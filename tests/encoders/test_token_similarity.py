import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from clicv2lite.encoders import token_similarity
from clicv2lite.encoders.token_similarity import CHANNELS, TEMPERATURES, likeness


def random_tokens(b, h, w, width=5, seed=0):
    return torch.randn(b, h, w, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(tokens):
    """The definition, one pair of patches at a time."""
    b, h, w, _ = tokens.shape
    found = np.zeros((b, h, w, CHANNELS))
    unit = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                others, near = [], []
                for v in range(h):
                    for u in range(w):
                        if (v, u) == (y, x):
                            continue
                        others.append(unit[i, y, x] @ unit[i, v, u])
                        if abs(v - y) + abs(u - x) == 1:
                            near.append(others[-1])
                if others:
                    c = np.array(others)
                    soft = [t * (logsumexp(c / t) - np.log(len(c))) if t else c.max() for t in TEMPERATURES]
                    found[i, y, x] = [*soft, c.mean(), np.mean(near)]
    return found


@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_likeness_is_its_definition_pair_by_pair(b, h, w, seed):
    tokens = random_tokens(b, h, w, seed=seed)
    np.testing.assert_allclose(likeness(tokens), by_loops(tokens.numpy()), atol=1e-10)


@pytest.mark.parametrize(("places", "tile"), [(7, 1), (7, 3), (9, 3), (8, 7), (5, 9)])
def test_tiles_change_nothing_and_have_the_gradient_of_the_whole(places, tile, monkeypatch):
    monkeypatch.setattr(token_similarity, "TILE", tile)
    tokens = random_tokens(2, 1, places).requires_grad_()
    np.testing.assert_allclose(likeness(tokens).detach(), by_loops(tokens.detach().numpy()), atol=1e-10)
    assert torch.autograd.gradcheck(likeness, tokens)


def test_single_precision_is_exact_to_a_millionth_at_the_size_of_the_shipped_model():
    tokens = random_tokens(1, 28, 28, width=192) + 0.5
    cosine = torch.nn.functional.cosine_similarity(tokens.flatten(1, 2)[0, :, None], tokens.flatten(1, 2)[0, None], dim=-1)
    others = cosine[~torch.eye(784, dtype=torch.bool)].reshape(784, 783)
    soft = [t * ((others / t).logsumexp(-1) - np.log(783)) for t in TEMPERATURES[1:]]
    want = torch.stack([others.amax(-1), *soft, others.mean(-1)], dim=-1)
    torch.testing.assert_close(likeness(tokens.float()).flatten(1, 2)[0, :, :4].double(), want, rtol=0, atol=1e-6)


def test_equal_patches_are_wholly_alike_and_orthogonal_ones_not_at_all():
    same = torch.ones(1, 3, 3, 4)
    torch.testing.assert_close(likeness(same), torch.ones(1, 3, 3, CHANNELS))
    apart = torch.eye(9).reshape(1, 3, 3, 9)
    assert likeness(apart).abs().max() < 1e-6


def test_a_patch_alone_in_its_image_is_like_nothing():
    assert not likeness(random_tokens(2, 1, 1)).any()


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_length_of_a_token_does_not_matter(scale):
    tokens = random_tokens(2, 3, 4)
    torch.testing.assert_close(likeness(tokens * scale), likeness(tokens))


def test_the_order_of_patches_matters_to_neighbours_alone():
    tokens, order = random_tokens(1, 3, 4), torch.randperm(12, generator=torch.Generator().manual_seed(1))
    moved = tokens.flatten(1, 2)[:, order].unflatten(1, (3, 4))
    got, want = likeness(moved).flatten(1, 2), likeness(tokens).flatten(1, 2)[:, order]
    torch.testing.assert_close(got[..., :-1], want[..., :-1])
    assert not torch.allclose(got[..., -1], want[..., -1])
