import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from torch.utils._python_dispatch import TorchDispatchMode

from clicv2lite.method.infonce import NEGATIVES, excluded, infonce, infonce_dense


def unit(*shape, seed=0, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=-1)


@st.composite
def batches(draw):
    """Queries and keys (B, V, d) float64 of unit length, and V of at least V places for each image."""
    b, v, d, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(0, 999))
    noise = torch.rand(b, v + draw(st.integers(0, 3)), generator=torch.Generator().manual_seed(seed))
    return unit(b, v, d, seed=seed), unit(b, v, d, seed=seed + 1000), noise.argsort(1)[:, :v]


TEMPERATURES = st.sampled_from([0.01, 0.05, 0.2, 1.0, 10.0])
CHOICES = st.sampled_from(sorted(NEGATIVES))


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
def test_all_forms_equal_a_loop_over_queries(batch, temperature, negatives, tile):
    q, k, visible = batch
    want, gradient = by_loop(q, k, visible, temperature, negatives)
    for function, rest in ((infonce_dense, ()), (infonce, (tile,)), (infonce, ())):
        loss, grad = value_and_gradient(function, q, k, visible, temperature, negatives, *rest)
        np.testing.assert_allclose(loss, want, atol=1e-10)
        np.testing.assert_allclose(grad, gradient, atol=1e-9)


@given(batches(), TEMPERATURES, CHOICES, st.none() | st.integers(1, 30))
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


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("tile", [None, 3])
def test_features_of_any_length_neither_overflow_nor_vanish(negatives, tile):
    q, k, visible = 1000 * unit(3, 4, 8), unit(3, 4, 8, seed=1), torch.arange(4).repeat(3, 1)  # logits up to 5000
    want, gradient = by_loop(q, k, visible, 0.2, negatives)
    loss, grad = value_and_gradient(infonce, q.float(), k.float(), visible, 0.2, negatives, tile)
    np.testing.assert_allclose(loss, want, rtol=1e-5, atol=1e-3)  # float32 rounds a logit of 5000 by 3e-4
    np.testing.assert_allclose(grad, gradient, atol=1e-3)


@pytest.mark.parametrize("negatives", ["batch", "same-position"])
@pytest.mark.parametrize("tile", [None, 3])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_feature_that_is_not_finite_makes_the_loss_not_finite(negatives, tile, side, bad):
    features = [unit(3, 4, 8), unit(3, 4, 8, seed=1)]
    features[side][1, 2, 3] = bad
    assert not infonce(*features, torch.arange(4).repeat(3, 1), 0.2, negatives, tile).isfinite()


def test_the_gradient_is_multiplied_by_the_one_from_above():
    q, k, visible = unit(2, 3, 4), unit(2, 3, 4, seed=1), torch.arange(3).repeat(2, 1)
    _, once = value_and_gradient(infonce, q, k, visible)
    _, thrice = value_and_gradient(lambda *given: 3 * infonce(*given), q, k, visible)
    np.testing.assert_allclose(thrice, 3 * once)


def test_no_gradient_flows_into_the_keys():
    q, k = unit(2, 3, 4).requires_grad_(), unit(2, 3, 4, seed=1).requires_grad_()
    infonce(q, k, torch.arange(3).repeat(2, 1)).backward()
    assert k.grad is None and q.grad is not None


@st.composite
def parts(draw):
    """A batch and where to cut its images into parts: 0 = cuts[0] < ... < cuts[-1] = B."""
    q, k, visible = draw(batches())
    inner = draw(st.sets(st.integers(1, len(q) - 1))) if len(q) > 1 else set()
    return q, k, visible, [0, *sorted(inner), len(q)]


@given(parts(), TEMPERATURES, CHOICES, st.sampled_from([infonce, infonce_dense]))
def test_parts_of_the_batch_weighted_by_their_size_are_the_whole(batch, temperature, negatives, function):
    q, k, visible, cuts = batch
    want, gradient = by_loop(q, k, visible, temperature, negatives)
    for dtype, loss_error, grad_error in ((torch.float64, 1e-10, 1e-9), (torch.float32, 1e-6, 1e-6)):
        scale = 1 if dtype == torch.float64 else 2 / min(temperature, 1) ** 2  # as in float32 as a whole
        total, grads = 0.0, []
        for first, end in itertools.pairwise(cuts):
            rest = (k.to(dtype), visible, temperature, negatives)
            loss, grad = value_and_gradient(lambda *given, at=first: function(*given, first=at), q[first:end].to(dtype), *rest)
            total += float(loss) * (end - first) / len(q)
            grads.append(grad * (end - first) / len(q))
        np.testing.assert_allclose(total, want, atol=loss_error * scale, rtol=1e-5)
        np.testing.assert_allclose(torch.cat(grads), gradient, atol=grad_error * scale)


@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("function", [infonce, infonce_dense])
def test_parts_at_the_papers_temperature_agree_to_a_millionth_in_float32(function, negatives):
    q, k, visible = unit(8, 20, 64).float(), unit(8, 20, 64, seed=1).float(), torch.rand(8, 49).argsort(1)[:, :20]
    whole, gradient = value_and_gradient(function, q, k, visible, 0.2, negatives)
    total, grads = 0.0, []
    for first, end in ((0, 3), (3, 4), (4, 8)):
        rest = (q[first:end], k, visible, 0.2, negatives)
        loss, grad = value_and_gradient(lambda *given, at=first: function(*given, first=at), *rest)
        total += float(loss) * (end - first) / 8
        grads.append(grad * (end - first) / 8)
    assert abs(total - float(whole)) < 1e-6 and (torch.cat(grads) - gradient).abs().max() < 1e-6


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
        ({"q": unit(2, 3, 5)}, "do not match"),
        ({"q": unit(3, 3, 4)}, "queries of images 0 to 2, but keys of images 0 to 1"),
        ({"first": 1}, "queries of images 1 to 2, but keys of images 0 to 1"),
        ({"first": -1}, "queries of images -1 to 0"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"temperature": -0.2}, "must be above 0"),
        ({"negatives": "hardest"}, f"choose one of {', '.join(NEGATIVES)}"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(function, change, message):
    right = {"q": unit(2, 3, 4), "k": unit(2, 3, 4), "visible": torch.arange(3).repeat(2, 1)}
    with pytest.raises(ValueError, match=message):
        function(**{**right, **change})


@pytest.mark.parametrize("negatives", NEGATIVES)
def test_a_pair_is_left_out_unless_it_is_the_positive_or_admissible(negatives):
    image, place = torch.arange(3).repeat_interleave(4), torch.tensor([0, 1, 2, 3, 1, 2, 3, 4, 0, 2, 4, 5])
    want = [
        [not (i == j or admissible(image[i], image[j], place[i], place[j], negatives)) for j in range(12)] for i in range(12)
    ]
    assert excluded(image, place, image, place, negatives).tolist() == want


def test_an_unknown_rule_is_an_error_with_those_there_are():
    place = torch.arange(2)
    with pytest.raises(ValueError, match=f"negatives 'all': choose one of {', '.join(NEGATIVES)}"):
        excluded(place, place, place, place, "all")
