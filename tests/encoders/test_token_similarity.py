import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from clicv2lite.encoders import token_similarity
from clicv2lite.encoders.token_similarity import CHANNELS, FLOOR, NEAREST_CHANNELS, SAME, TEMPERATURES, likeness, nearest


def random_tokens(b, h, w, width=5, seed=0):
    return torch.randn(b, h, w, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def each_place(vectors, w):
    """Each of the h w places of an image: row, column, cosines with all others, and those with its neighbours among them."""
    unit = [vector / np.linalg.norm(vector) for vector in vectors]
    for place, own in enumerate(unit):
        others, near = [], []
        for other, vector in enumerate(unit):
            if other == place:
                continue
            others.append(own @ vector)
            if abs(place // w - other // w) + abs(place % w - other % w) == 1:
                near.append(others[-1])
        if others:
            yield place // w, place % w, np.array(others), np.mean(near)


def by_loops(tokens):
    """The definition, one pair of patches at a time."""
    b, h, w, width = tokens.shape
    found = np.zeros((b, h, w, CHANNELS))
    for i in range(b):
        for y, x, c, near in each_place(tokens[i].reshape(-1, width), w):
            soft = [t * (logsumexp(c / t) - np.log(len(c))) if t else c.max() for t in TEMPERATURES]
            found[i, y, x] = [*soft, c.mean(), near]
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


def nearest_by_loops(tokens):
    """The definition of `nearest`, one pair of patches at a time."""
    b, h, w, width = tokens.shape
    found = np.zeros((b, h, w, NEAREST_CHANNELS))
    for i in range(b):
        flat = tokens[i].reshape(-1, width)
        floor = FLOOR * np.mean([np.linalg.norm(token) for token in flat])
        for first, vectors in ((0, flat), (4, [np.append(token - flat.mean(0), floor) for token in flat])):
            for y, x, c, near in each_place(vectors, w):
                largest = sorted(c, reverse=True)
                second = largest[min(1, len(c) - 1)]
                found[i, y, x, first : first + 4] = largest[0], second, 1 / (1 + np.exp((c - 1) / SAME).sum()), near
    return found


@given(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_nearest_is_its_definition_pair_by_pair(b, h, w, seed):
    tokens = random_tokens(b, h, w, seed=seed)
    np.testing.assert_allclose(nearest(tokens), nearest_by_loops(tokens.numpy()), atol=1e-10)


@pytest.mark.parametrize(("places", "tile"), [(7, 1), (7, 3), (9, 3), (8, 7), (5, 9), (2, 1)])
def test_tiles_of_nearest_change_nothing_and_have_the_gradient_of_the_whole(places, tile, monkeypatch):
    monkeypatch.setattr(token_similarity, "TILE", tile)
    tokens = random_tokens(2, 1, places).requires_grad_()
    np.testing.assert_allclose(nearest(tokens).detach(), nearest_by_loops(tokens.detach().numpy()), atol=1e-10)
    assert torch.autograd.gradcheck(nearest, tokens)


def test_nearest_in_single_precision_is_exact_at_the_size_of_the_shipped_model():
    tokens = random_tokens(1, 28, 28, width=192) + 0.5
    torch.testing.assert_close(nearest(tokens.float()).double(), nearest(tokens), rtol=0, atol=2e-6)


def test_the_rarities_count_kinds_of_patch():
    kinds = random_tokens(1, 1, 3, width=40)  # of width 40, hardly alike
    rarities = nearest(kinds[:, :, [0, 0, 1, 1, 1, 2]])[0, 0, :, 2]
    np.testing.assert_allclose(rarities, [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, 1], atol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_patches_that_are_equal_but_for_rounding_are_wholly_alike_without_their_mean_too(noise):
    tokens = 5 + noise * random_tokens(1, 4, 4)
    found = nearest(tokens.float()).flatten(0, 2)
    for channel, want in enumerate([1, 1, 1 / 16, 1] * 2):
        np.testing.assert_allclose(found[:, channel], want, atol=1e-3)


def test_a_patch_alone_has_none_that_is_near():
    assert not nearest(random_tokens(2, 1, 1)).any()


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_length_of_all_tokens_does_not_matter_to_nearest(scale):
    tokens = random_tokens(2, 3, 4)
    torch.testing.assert_close(nearest(tokens * scale), nearest(tokens))
