import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch.utils._python_dispatch import TorchDispatchMode

from clicv2lite.infonce import NEGATIVES, infonce, infonce_dense


def unit(*shape, seed=0, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1)


@st.composite
def batches(draw):
    """Queries and keys (B, V, d) float64 of unit length, and V of at least V places for each image."""
    b, v, d, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(0, 999))
    noise = torch.rand(b, v + draw(st.integers(0, 3)), generator=torch.Generator().manual_seed(seed))
    return unit(b, v, d, seed=seed), unit(b, v, d, seed=seed + 1000), noise.argsort(1)[:, :v]


TEMPERATURES = st.sampled_from([0.01, 0.05, 0.2, 1.0, 10.0])
CHOICES = st.sampled_from(NEGATIVES)


def admissible(i, j, a, b, negatives):
    """May the patch at place b of image j be a negative of the patch at place a of image i?"""
    if negatives == "batch":
        return True
    if negatives == "other-images":
        return i != j
    if negatives == "same-position":
        return i != j and a == b
    return i == j


def by_loop(q, k, visible, temperature, negatives):
    """Loss and gradient with respect to the queries, one query at a time (float64)."""
    q, k, visible = q.numpy(), k.numpy(), visible.numpy()
    n = visible.size
    total, gradient = 0.0, np.zeros_like(q)
    for i, j in np.ndindex(visible.shape):
        keys = [k[i, j]]
        for x, y in np.ndindex(visible.shape):
            if (i, j) != (x, y) and admissible(i, x, visible[i, j], visible[x, y], negatives):
                keys.append(k[x, y])
        logits = np.array([q[i, j] @ key for key in keys]) / temperature
        softmax = np.exp(logits - logsumexp(logits))
        total += logsumexp(logits) - logits[0]
        gradient[i, j] = (softmax @ np.array(keys) - k[i, j]) / (temperature * n)
    return total / n, gradient


def value_and_gradient(function, q, k, *rest):
    q = q.clone().requires_grad_()
    loss = function(q, k, *rest)
    loss.backward()
    return loss.detach(), q.grad


@given(batches(), TEMPERATURES, CHOICES, st.integers(1, 30))
def test_tiled_and_dense_equal_a_loop_over_queries(batch, temperature, negatives, tile):
    q, k, visible = batch
    want, gradient = by_loop(q, k, visible, temperature, negatives)
    for rest in ((infonce_dense, temperature, negatives), (infonce, temperature, negatives, tile)):
        loss, grad = value_and_gradient(rest[0], q, k, visible, *rest[1:])
        np.testing.assert_allclose(loss, want, atol=1e-10)
        np.testing.assert_allclose(grad, gradient, atol=1e-9)


@given(batches(), TEMPERATURES, CHOICES, st.integers(1, 30))
def test_float32_is_exact_to_rounding(batch, temperature, negatives, tile):
    q, k, visible = batch
    want, gradient = by_loop(q, k, visible, temperature, negatives)
    loss, grad = value_and_gradient(infonce, q.float(), k.float(), visible, temperature, negatives, tile)
    assert loss.dtype == grad.dtype == torch.float32
    # a logit of size 1 / tau carries a rounding error of 1e-7 / tau
    np.testing.assert_allclose(loss, want, atol=2e-6 / min(temperature, 1), rtol=1e-5)
    np.testing.assert_allclose(grad, gradient, atol=2e-6 / min(temperature, 1) ** 2)


@given(batches(), CHOICES, st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_precision_features_are_compared_in_float32(batch, negatives, dtype):
    q, k, visible = batch[0].to(dtype), batch[1].to(dtype), batch[2]
    loss, grad = value_and_gradient(infonce, q, k, visible, 0.2, negatives)
    want, gradient = value_and_gradient(infonce, q.float(), k.float(), visible, 0.2, negatives)
    assert loss.dtype == torch.float32 and loss.equal(want) and grad.equal(gradient.to(dtype))


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_autocast_does_not_lower_the_precision(negatives):
    q, k, visible = unit(4, 5, 16).float(), unit(4, 5, 16, seed=1).float(), torch.arange(5).repeat(4, 1)
    want, gradient = value_and_gradient(infonce, q, k, visible, 0.05, negatives)
    with torch.autocast("cpu", torch.bfloat16):
        loss, grad = value_and_gradient(infonce, q, k, visible, 0.05, negatives)
    assert loss.equal(want) and grad.equal(gradient)


@given(batches(), TEMPERATURES)
def test_with_one_image_there_are_no_negatives_in_other_images(batch, temperature):
    q, k, visible = (x[:1] for x in batch)
    for negatives in ("other-images", "same-position"):
        loss, grad = value_and_gradient(infonce, q, k, visible, temperature, negatives, 2)
        assert abs(loss) < 1e-12 and grad.abs().max() < 1e-9


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_a_single_patch_has_loss_zero(negatives, temperature):
    q, k = unit(1, 1, 8), unit(1, 1, 8, seed=1)
    loss, grad = value_and_gradient(infonce, q, k, torch.zeros(1, 1, dtype=torch.long), temperature, negatives)
    assert abs(loss) < 1e-12 and grad.abs().max() < 1e-9


@pytest.mark.parametrize("negatives, candidates", [("batch", 12), ("other-images", 9), ("same-position", 3), ("same-image", 4)])
def test_collapsed_features_score_the_log_of_the_number_of_candidates(negatives, candidates):
    same = unit(1, 1, 8).expand(3, 4, 8)
    loss = infonce(same, same, torch.arange(4).repeat(3, 1), 0.2, negatives)
    assert float(loss) == pytest.approx(math.log(candidates))


@pytest.mark.parametrize("function", [infonce, infonce_dense])
def test_distinct_pairs_at_low_temperature_cost_nothing(function):
    features = torch.eye(12, dtype=torch.float64).reshape(3, 4, 12)
    assert float(function(features, features, torch.arange(4).repeat(3, 1), 0.01)) == pytest.approx(0, abs=1e-12)


def test_the_gradient_is_multiplied_by_the_one_from_above():
    q, k, visible = unit(2, 3, 4), unit(2, 3, 4, seed=1), torch.arange(3).repeat(2, 1)
    _, once = value_and_gradient(infonce, q, k, visible)
    _, thrice = value_and_gradient(lambda *given: 3 * infonce(*given), q, k, visible)
    np.testing.assert_allclose(thrice, 3 * once)


def test_no_gradient_flows_into_the_keys():
    q, k = unit(2, 3, 4).requires_grad_(), unit(2, 3, 4, seed=1).requires_grad_()
    infonce(q, k, torch.arange(3).repeat(2, 1)).backward()
    assert k.grad is None and q.grad is not None


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any operation's result had."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_memory_grows_with_the_number_of_patches_not_its_square(negatives):
    n, d, tile = 20 * 30, 4, 32
    q, k, visible = unit(20, 30, d), unit(20, 30, d, seed=1), torch.arange(30).repeat(20, 1)
    with LargestTensor() as tiled:
        value_and_gradient(infonce, q, k, visible, 0.2, negatives, tile)
    with LargestTensor() as dense:
        value_and_gradient(infonce_dense, q, k, visible, 0.2, negatives)
    assert tiled.numel <= max(n * d, tile * tile) and dense.numel == n * n


@pytest.mark.parametrize("function", [infonce, infonce_dense])
@pytest.mark.parametrize(
    "change, message",
    [
        ({"k": unit(2, 4, 4)}, "do not match"),
        ({"visible": torch.zeros(2, 4, dtype=torch.long)}, "do not match"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"temperature": -0.2}, "must be above 0"),
        ({"negatives": "hardest"}, "choose one of batch, other-images, same-position, same-image"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(function, change, message):
    right = {"q": unit(2, 3, 4), "k": unit(2, 3, 4), "visible": torch.arange(3).repeat(2, 1)}
    with pytest.raises(ValueError, match=message):
        function(**{**right, **change})
