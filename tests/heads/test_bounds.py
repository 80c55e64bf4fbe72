import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.heads.bounds import EDGE, bounded


def by_hand(score):
    """One score, branch by branch."""
    if score < EDGE:
        return EDGE**2 / (2 * EDGE - score)
    if score > 1 - EDGE:
        return 1 - EDGE**2 / (2 * EDGE - (1 - score))
    return score


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_scores_are_those_of_the_branches(scores):
    got = bounded(torch.tensor(scores, dtype=torch.float64))
    np.testing.assert_allclose(got, [by_hand(score) for score in scores], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_is_kept_and_0_and_1_are_never_left(dtype):
    scores = torch.linspace(-1, 2, 3001, dtype=dtype)
    got = bounded(scores)
    assert (got.diff() > 0).all() and got.min() > 0 and got.max() < 1
    far = bounded(torch.tensor([-1e30, 1e30, -torch.inf, torch.inf], dtype=dtype))
    assert far.tolist() == pytest.approx([0, 1, 0, 1], abs=1e-7) and far.min() >= 0 and far.max() <= 1


def test_it_bends_without_a_kink():
    scores = torch.tensor([EDGE - 1e-6, EDGE + 1e-6, 1 - EDGE - 1e-6, 1 - EDGE + 1e-6], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(bounded(scores).sum(), scores)
    torch.testing.assert_close(slope, torch.ones(4, dtype=torch.float64), atol=1e-4, rtol=0)


def test_what_is_no_number_stays_none():
    assert bounded(torch.tensor([float("nan")])).isnan().all()
