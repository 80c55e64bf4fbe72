"""Patch-wise InfoNCE: dense to read, tiled to use (CLICv2, equations 2 and 3; book chapter 4)."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NEGATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "batch": lambda same_image, same_place: torch.zeros_like(same_image),
    "other-images": lambda same_image, same_place: same_image,
    "same-position": lambda same_image, same_place: ~same_place,
    "same-image": lambda same_image, same_place: ~same_image,
}
"""Name -> which pairs are left out, from (N, K) bool: whether query and key are of the same image, and of the same place.

``batch`` keeps every other patch of the batch; ``other-images`` those of other images, since patches of the same image can be
told apart by position alone; ``same-position`` the same position in other images; ``same-image`` other patches of the image.
"""
SAFE = 60.0  # exp(60) times a billion keys is far below the largest float32, and exp(-60) far above the smallest
CPU_TILE, GPU_TILE = 1024, 4096  # 4 MiB of logits, which the caches of two cores hold; 64 MiB, which fill a GPU


def excluded(image_q: Tensor, place_q: Tensor, image_k: Tensor, place_k: Tensor, negatives: str) -> Tensor:
    """Which keys may not be a negative of which query; a patch's own key is never excluded (it is the positive).

    Args:
        image_q, place_q: (N,) int64, image and patch position of each query.
        image_k, place_k: (K,) int64, the same of each key.
        negatives: one of ``NEGATIVES``.

    Returns:
        (N, K) bool, True where the pair is left out of the sum.

    Raises:
        ValueError: for another name.
    """
    if negatives not in NEGATIVES:
        raise ValueError(f"negatives {negatives!r}: choose one of {', '.join(NEGATIVES)}")
    same_image, same_place = image_q[:, None] == image_k, place_q[:, None] == place_k
    return NEGATIVES[negatives](same_image, same_place) & ~(same_image & same_place)


def _labels(q: Tensor, k: Tensor, visible: Tensor, temperature: float, first: int) -> tuple[Tensor, Tensor, slice]:
    """Image and place of every key, and which of them are the positives of the queries."""
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
    """Patch-wise InfoNCE as it is written: all logits at once, N x N for the N = B * V patches (equations 2 and 3).

    Equation 2 prints the sum over negatives inside the exponential; that form sees only the mean negative. This is the
    standard form, the sum of exponentials.

    Args:
        q: (b, V, d) query features, L2-normalised, V visible patches an image: all B images, or some that follow each other.
        k: (B, V, d) key features of the same patches, of all images.
        visible: (B, V) int64, the position of each patch, of all images.
        temperature: tau, above 0; the paper's 0.2.
        negatives: see :func:`excluded`.
        first: the queries are those of images first to first + b - 1 of the batch: one rank's part, or a micro-batch.

    Returns:
        scalar, the mean over the b * V queries, in nats. The mean over all is the mean over parts, weighted by their size.

    Raises:
        ValueError: for shapes that do not match, a temperature not above 0, or an unknown choice of negatives.
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
    """Patch-wise InfoNCE with memory that grows with N, not N^2: same value and gradient as :func:`infonce_dense`
    (equations 2 and 3).

    The keys are constants (momentum encoder), so the gradient of a query is known as soon as its softmax p is:
    (sum_z p_z k_z - k+) / (tau n). One forward pass in the manner of flash attention, with the keys as values, gives both,
    and no gradient flows into the keys.

    Args:
        tile: rows and columns of logits to hold at a time. None takes what is fastest: on a CPU, if every patch is a negative,
            torch's own flash attention, else tiles that stay in the cache; on a GPU tiles that keep it busy.

    Other arguments, result and errors as :func:`infonce_dense`; computed in float32 (or float64 if the queries are).
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
        loss = (lse - positive).mean(dtype=torch.float64).to(dtype)
        gradient = mean.sub_(flat_k[own]).div_(temperature * len(flat_q))
    known: Tensor = _KnownGradient.apply(flat_q, loss, gradient)
    return known


def _flash(q: Tensor, k: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logsumexp (n,) of the logits of queries (n, d), and the mean (n, d) of the keys (N, d), weighted by their softmax."""
    heads = (q[None, None], k[None, None], k[None, None])  # one image, one head; the keys are the values
    mean, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*heads, scale=1 / temperature)
    return lse.flatten(), mean[0, 0]


def _tiles(
    q: Tensor, k: Tensor, image: Tensor, place: Tensor, own: slice, temperature: float, negatives: str, tile: int
) -> tuple[Tensor, Tensor]:
    """As :func:`_flash`, over admissible keys only: a running softmax over tiles of keys, for a tile of queries at a time."""
    lse, mean = torch.empty_like(q[:, :1]), torch.zeros_like(q)
    largest = q.norm(dim=1).amax() * k.norm(dim=1).amax() / temperature  # no logit is larger (Cauchy and Schwarz)
    safe = bool(largest < SAFE)  # features of unit length at tau = 0.2: no maximum is needed, which saves half the passes
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
    """A loss of q whose gradient was computed on the way; the backward pass only multiplies."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return outputs[0] * gradient, None, None
