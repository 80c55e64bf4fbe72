"""Patch-wise InfoNCE: a dense form to read, a tiled form to use (CLICv2, equations 2 and 3; book chapter 4)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NEGATIVES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "batch": lambda same_image, place_q, place_k: torch.zeros_like(same_image),
    "other-images": lambda same_image, place_q, place_k: same_image,
    "same-position": lambda same_image, place_q, place_k: place_q != place_k,
    "same-image": lambda same_image, place_q, place_k: ~same_image,
}
"""Name -> rule. A rule returns the pairs to leave out, (N, K) bool. It takes "same image", (N, K) bool, and the
patch positions of queries, (N, 1) int64, and of keys, (K,) int64.

These keys are the negatives of a query: with ``batch`` all other patches of the batch; with ``other-images`` only patches of
other images, because position alone can tell patches of the same image apart; with ``same-position`` the patches at the same
position in other images; with ``same-image`` the other patches of the same image.
"""
SAFE = 60.0  # exp(60) times a billion keys is far below the largest float32, and exp(-60) far above the smallest
CPU_TILE, GPU_TILE = 1024, 4096  # 4 MiB of logits fit into the caches of two cores; 64 MiB keep a GPU busy


def excluded(image_q: Tensor, place_q: Tensor, image_k: Tensor, place_k: Tensor, negatives: str) -> Tensor:
    """Which keys are left out of the sum over negatives in equation 2.

    The key of the same patch is the positive. It is never excluded.

    Args:
        image_q, place_q: (N,) int64, image and patch position of each query.
        image_k, place_k: (K,) int64, image and patch position of each key.
        negatives: one of ``NEGATIVES``.

    Returns:
        (N, K) bool, True where the pair is left out.

    Raises:
        ValueError: if ``negatives`` is not one of these names.
    """
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives {negatives!r}: choose one of {', '.join(NEGATIVES)}")
    same_image, place_q = image_q[:, None] == image_k, place_q[:, None]
    return NEGATIVES[negatives](same_image, place_q, place_k) & ~(same_image & (place_q == place_k))


def _labels(q: Tensor, k: Tensor, visible: Tensor, temperature: float, first: int) -> tuple[Tensor, Tensor, slice]:
    """Image and place of every key, and the slice of keys that are the positives of the queries."""
    if k.shape[:2] != visible.shape or q.shape[1:] != k.shape[1:]:
        raise ValueError(f"queries {tuple(q.shape)}, keys {tuple(k.shape)} and places {tuple(visible.shape)} do not match")
    if not 0 <= first <= len(k) - len(q):
        raise ValueError(f"queries of images {first} to {first + len(q) - 1}, but keys of images 0 to {len(k) - 1}: no match")
    if temperature <= 0:
        raise ValueError(f"temperature {temperature}: must be above 0")
    image = torch.arange(len(k), device=k.device).repeat_interleave(k.shape[1])
    return image, visible.flatten(), slice(first * k.shape[1], (first + len(q)) * k.shape[1])


def infonce_dense(
    q: Tensor, k: Tensor, visible: Tensor, temperature: float = 0.2, negatives: str = "batch", first: int = 0
) -> Tensor:
    """Patch-wise InfoNCE as it is written: all N x N logits at once, for the N = B * V patches (equations 2 and 3).

    Equation 2 prints the sum over negatives inside the exponential. In that form the loss depends only on the mean negative.
    This function uses the standard form, the sum of exponentials.

    Args:
        q: (b, V, d) query features, L2-normalised, V visible patches per image: all B images, or b consecutive ones.
        k: (B, V, d) key features of the same patches, for all images.
        visible: (B, V) int64, the position of each patch, for all images.
        temperature: tau, above 0; the paper's value is 0.2.
        negatives: see :data:`NEGATIVES`.
        first: the queries belong to images first to first + b - 1 of the batch: one rank's part, or a micro-batch.

    Returns:
        scalar, the mean over the b * V queries, in nats. If the batch is cut into parts, the loss of the batch is the mean of
        these values, weighted by the size of each part.

    Raises:
        ValueError: if shapes do not match, the temperature is not above 0, or the choice of negatives is unknown.
    """
    image, place, own = _labels(q, k, visible, temperature, first)
    logits = q.flatten(0, 1) @ k.flatten(0, 1).T / temperature  # (b V, B V)
    logits = logits.masked_fill(excluded(image[own], place[own], image, place, negatives), float("-inf"))
    return F.cross_entropy(logits, torch.arange(own.start, own.stop, device=q.device))  # the positives lie on a diagonal


def infonce(
    q: Tensor,
    k: Tensor,
    visible: Tensor,
    temperature: float = 0.2,
    negatives: str = "batch",
    tile: int | None = None,
    first: int = 0,
) -> Tensor:
    """Patch-wise InfoNCE in memory that grows with N instead of N^2 (equations 2 and 3).

    The value and the gradient are those of :func:`infonce_dense`.

    >>> import torch
    >>> from clicv2lite.method.infonce import infonce
    >>> q = torch.eye(4)[None]  # one image, four patches, features of unit length
    >>> infonce(q, q, visible=torch.arange(4)[None])  # -log(exp(1 / 0.2) / (exp(1 / 0.2) + 3 * exp(0)))
    tensor(0.0200)

    The keys are constants: they come from the momentum encoder, and no gradient flows into them. So the softmax p of a query
    already gives its gradient, (sum_z p_z k_z - k+) / (tau n). One forward pass, as in flash attention with the keys as
    values, gives the loss and the gradient.

    Args:
        tile: rows and columns of logits that are held at a time. None takes the fastest way: on a CPU torch's own flash
            attention if every patch is a negative, else tiles that fit into the cache; on a GPU tiles that keep it busy.

    Other arguments, result and errors: as in :func:`infonce_dense`. Computed in float32, or in float64 if the queries are.
    """
    image, place, own = _labels(q, k, visible, temperature, first)
    dtype = torch.promote_types(q.dtype, torch.float32)
    flat_q, flat_k = q.flatten(0, 1).to(dtype), k.detach().flatten(0, 1).to(dtype)
    cpu = q.device.type == "cpu"
    with torch.no_grad(), torch.autocast(q.device.type, enabled=False):  # bfloat16 logits would be off by 1 / (500 tau)
        if tile is None and cpu and negatives == "batch":
            lse, mean = _flash(flat_q, flat_k, temperature)
        else:
            tile = tile or (CPU_TILE if cpu else GPU_TILE)
            lse, mean = _tiles(flat_q, flat_k, image, place, own, temperature, negatives, tile)
        positive = (flat_q * flat_k[own]).sum(1) / temperature
        wide = dtype if q.device.type == "mps" else torch.float64  # Apple GPUs have no float64
        loss = (lse - positive).mean(dtype=wide).to(dtype)
        gradient = mean.sub_(flat_k[own]).div_(temperature * len(flat_q))
    known: Tensor = _KnownGradient.apply(flat_q, loss, gradient)
    return known


def _flash(q: Tensor, k: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """For queries (n, d) and keys (N, d): logsumexp (n,) of the logits, and the softmax-weighted mean (n, d) of the keys."""
    heads = (q[None, None], k[None, None], k[None, None])  # one image, one head; the keys are the values
    mean, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*heads, scale=1 / temperature)
    return lse.flatten(), mean[0, 0]


def _tiles(
    q: Tensor, k: Tensor, image: Tensor, place: Tensor, own: slice, temperature: float, negatives: str, tile: int
) -> tuple[Tensor, Tensor]:
    """As :func:`_flash`, without the excluded keys: a running softmax over tiles of keys, for one tile of queries at a time."""
    lse, mean = torch.empty_like(q[:, :1]), torch.zeros_like(q)
    largest = q.norm(dim=1).amax() * k.norm(dim=1).amax() / temperature  # no logit is larger (Cauchy-Schwarz)
    safe = bool(largest < SAFE)  # true for unit length and tau = 0.2: then no maximum is needed, which saves half the passes
    for i in range(0, len(q), tile):
        rows = slice(i, i + tile)
        query, average = q[rows] / temperature, mean[rows]
        top = torch.full_like(query[:, :1], 0 if safe else torch.finfo(q.dtype).min)
        weight = torch.zeros_like(top)
        for j in range(0, len(k), tile):
            columns = slice(j, j + tile)
            logits = query @ k[columns].T
            if negatives != "batch":
                out = excluded(image[own][rows], place[own][rows], image[columns], place[columns], negatives)
                logits.masked_fill_(out, float("-inf"))
            if not safe:
                new_top = torch.maximum(top, logits.amax(1, keepdim=True))
                shrink = (top - new_top).exp_()
                weight.mul_(shrink)
                average.mul_(shrink)
                logits.sub_(new_top)
                top = new_top
            part = logits.exp_()
            weight.add_(part.sum(1, keepdim=True))
            average.addmm_(part, k[columns])
        lse[rows] = top + weight.log()
        average.div_(weight)
    return lse.flatten(), mean


class _KnownGradient(torch.autograd.Function):
    """A loss of q whose gradient is known from the forward pass; the backward pass only multiplies."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return outputs[0] * gradient, None, None
