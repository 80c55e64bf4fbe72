from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.method.masking import put, random_mask, take, visible_count

RATIOS = st.floats(0, 1, exclude_max=True)


def noise_of(b, g, seed):
    return torch.rand(b, g, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 300), RATIOS)
def test_the_visible_share_is_one_minus_the_ratio_to_the_nearest_patch(patches, ratio):
    visible = visible_count(patches, ratio)
    assert 1 <= visible <= patches
    masked = Fraction(ratio) * patches
    assert abs(patches - visible - masked) <= Fraction(1, 2) + Fraction(1, 10**9) or (visible == 1 and masked > patches - 1)


@pytest.mark.parametrize("patches, ratio, visible", [(49, 0.6, 20), (64, 0.6, 26), (1, 0.6, 1), (1, 0.0, 1), (16, 0.999, 1)])
def test_known_counts(patches, ratio, visible):
    assert visible_count(patches, ratio) == visible


@pytest.mark.parametrize("patches, ratio", [(4, 1.0), (4, -0.1), (4, float("nan")), (0, 0.5), (-1, 0.5)])
def test_a_ratio_or_a_grid_that_leaves_nothing_is_refused(patches, ratio):
    with pytest.raises(ValueError, match="mask ratio"):
        visible_count(patches, ratio)


@given(st.integers(1, 4), st.integers(1, 40), RATIOS, st.integers(0, 99))
def test_visible_and_masked_part_the_grid_and_the_smallest_noise_is_visible(b, g, ratio, seed):
    noise = noise_of(b, g, seed)
    visible, masked = random_mask(noise, ratio)
    assert visible.shape == (b, visible_count(g, ratio)) and visible.dtype == masked.dtype == torch.int64
    for row, seen, hidden in zip(noise.tolist(), visible.tolist(), masked.tolist(), strict=True):
        assert sorted(seen + hidden) == list(range(g)) and seen == sorted(seen) and hidden == sorted(hidden)
        assert all(row[s] <= row[m] for s in seen for m in hidden)


@given(st.integers(2, 5), st.integers(1, 20), RATIOS, st.integers(0, 99))
def test_the_mask_of_an_image_does_not_depend_on_its_batch(b, g, ratio, seed):
    noise = noise_of(b, g, seed)
    visible, masked = random_mask(noise, ratio)
    for i in range(b):
        alone = random_mask(noise[i : i + 1], ratio)
        assert alone[0][0].equal(visible[i]) and alone[1][0].equal(masked[i])


def test_equal_noise_is_settled_by_position():
    visible, masked = random_mask(torch.zeros(1, 6), 0.5)
    assert visible.tolist() == [[0, 1, 2]] and masked.tolist() == [[3, 4, 5]]


def test_every_patch_is_visible_equally_often():
    n, g = 20_000, 10
    visible, _ = random_mask(noise_of(n, g, 0), 0.6)
    share = torch.bincount(visible.flatten(), minlength=g) / n
    assert (share - 0.4).abs().max() < 5 * (0.4 * 0.6 / n) ** 0.5


@given(st.integers(1, 3), st.integers(1, 12), RATIOS, st.integers(0, 99), st.sampled_from([(), (3,), (2, 3)]))
def test_take_gathers_as_a_loop_does(b, g, ratio, seed, trailing):
    tokens = torch.arange(b * g * len(torch.zeros(trailing).flatten())).reshape(b, g, *trailing)
    visible, _ = random_mask(noise_of(b, g, seed), ratio)
    got = take(tokens, visible)
    assert got.shape == (*visible.shape, *trailing)
    for i in range(b):
        for j, place in enumerate(visible[i].tolist()):
            assert got[i, j].equal(tokens[i, place])


@given(st.integers(1, 3), st.integers(1, 12), RATIOS, st.integers(0, 99), st.sampled_from([torch.float32, torch.bfloat16]))
def test_put_returns_tokens_to_their_places_and_fills_the_others(b, g, ratio, seed, dtype):
    visible, masked = random_mask(noise_of(b, g, seed), ratio)
    tokens, fill = torch.randn(*visible.shape, 5).to(dtype), torch.randn(5)
    full = put(tokens, visible, fill, g)
    assert full.shape == (b, g, 5) and full.dtype == dtype
    assert take(full, visible).equal(tokens)
    assert take(full, masked).equal(fill.to(dtype).expand(b, masked.shape[1], 5))


def test_put_follows_any_order_of_places():
    full = put(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[2, 0]]), torch.tensor([9.0]), 4)
    assert full.flatten().tolist() == [2, 9, 1, 9]


def test_gradients_reach_the_tokens_and_the_fill():
    tokens, fill = torch.ones(2, 2, 3, requires_grad=True), torch.ones(3, requires_grad=True)
    put(tokens, torch.tensor([[0, 4], [1, 2]]), fill, 5).sum().backward()
    assert tokens.grad.equal(torch.ones(2, 2, 3)) and fill.grad.tolist() == [6, 6, 6]
