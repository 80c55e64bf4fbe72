"""Patch-wise InfoNCE: dense to read, tiled to use (CLICv2, equations 2 and 3; book chapter 4)."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Negatives = Literal["batch", "other-images", "same-position", "same-image"]
NEGATIVES: tuple[Negatives, ...] = ("batch", "other-images", "same-position", "same-image")


def excluded(image_q: Tensor, place_q: Tensor, image_k: Tensor, place_k: Tensor, negatives: Negatives) -> Tensor:
    """Which keys may not be a negative of which query; a patch's own key is never excluded (it is the positive).

    Args:
        image_q, place_q: (N,) int64, image and patch position of each query.
        image_k, place_k: (K,) int64, the same of each key.
        negatives: ``batch``: every other patch of the batch; ``other-images``: not those of the same image, which can be
            told apart by position alone; ``same-position``: only the same position in other images; ``same-image``:
            only other patches of the same image.

    Returns:
        (N, K) bool, True where the pair is left out of the sum.
    """
    same_image = image_q[:, None] == image_k
    same_place = place_q[:, None] == place_k
    positive = same_image & same_place
    match negatives:
        case "batch":
            return torch.zeros_like(positive)
        case "other-images":
            return same_image & ~positive
        case "same-position":
            return ~same_place
        case "same-image":
            return ~same_image
    raise ValueError(f"negatives {negatives!r}: choose one of {', '.join(NEGATIVES)}")


def _labels(q: Tensor, k: Tensor, visible: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    if q.shape != k.shape or q.shape[:2] != visible.shape:
        raise ValueError(f"queries {tuple(q.shape)}, keys {tuple(k.shape)} and places {tuple(visible.shape)} do not match")
    if temperature <= 0:
        raise ValueError(f"temperature {temperature}: must be above 0")
    image = torch.arange(len(q), device=q.device).repeat_interleave(q.shape[1])
    return image, visible.flatten()


def infonce_dense(
    q: Tensor, k: Tensor, visible: Tensor, temperature: float = 0.2, negatives: Negatives = "batch"
) -> Tensor:
    """Patch-wise InfoNCE as it is written: all N x N logits at once (equations 2 and 3, N = B * V).

    Equation 2 prints the sum over negatives inside the exponential; that form sees only the mean negative. This is the
    standard form, the sum of exponentials.

    Args:
        q: (B, V, d) query features, L2-normalised, V visible patches an image.
        k: (B, V, d) key features of the same patches.
        visible: (B, V) int64, the position of each patch.
        temperature: tau, above 0; the paper's 0.2.
        negatives: see :func:`excluded`.

    Returns:
        scalar, the mean over all visible patches of the batch, in nats.

    Raises:
        ValueError: for shapes that do not match, a temperature not above 0, or an unknown choice of negatives.
    """
    image, place = _labels(q, k, visible, temperature)
    logits = q.flatten(0, 1) @ k.flatten(0, 1).T / temperature  # (N, N); the positives lie on the diagonal
    logits = logits.masked_fill(excluded(image, place, image, place, negatives), float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(logits), device=q.device))


class _TiledInfoNCE(torch.autograd.Function):
    """Mean of logsumexp(q k / tau) - q k+ / tau with a running softmax over tiles of keys: memory O(N), not O(N^2).

    The keys are constants (momentum encoder), so the gradient of a query is known as soon as its softmax is:
    (sum_z p_z k_z - k+) / (tau N). One forward pass in the manner of flash attention, with the keys as values, gives both.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, image: Tensor, place: Tensor, temperature: float, negatives: Negatives, tile: int
    ) -> Tensor:
        n = len(q)
        total = torch.zeros((), dtype=torch.float64, device=q.device)
        gradient = torch.empty_like(q)
        for rows in torch.arange(n, device=q.device).split(tile):
            lo, hi = int(rows[0]), int(rows[-1]) + 1
            top = q.new_full((hi - lo, 1), float("-inf"))
            weight, mean = q.new_zeros(hi - lo, 1), torch.zeros_like(q[lo:hi])
            for start in range(0, n, tile):
                keys = k[start : start + tile]
                logits = (q[lo:hi] @ keys.T).div_(temperature)
                if negatives != "batch":
                    columns = slice(start, start + tile)
                    out = excluded(image[lo:hi], place[lo:hi], image[columns], place[columns], negatives)
                    logits.masked_fill_(out, float("-inf"))
                new_top = torch.maximum(top, logits.amax(1, keepdim=True))
                anchor = new_top.clamp(min=torch.finfo(q.dtype).min)  # a tile may hold no admissible key yet
                rescale = (top - anchor).exp()
                part = logits.sub_(anchor).exp_()
                weight = weight * rescale + part.sum(1, keepdim=True)
                mean = mean * rescale + part @ keys
                top = new_top
            positive = (q[lo:hi] * k[lo:hi]).sum(1, keepdim=True) / temperature
            total += (top + weight.log() - positive).sum(dtype=torch.float64)
            gradient[lo:hi] = (mean / weight - k[lo:hi]) / (temperature * n)
        ctx.save_for_backward(gradient)
        return (total / n).to(q.dtype)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return outputs[0] * gradient, None, None, None, None, None, None


def infonce(
    q: Tensor,
    k: Tensor,
    visible: Tensor,
    temperature: float = 0.2,
    negatives: Negatives = "batch",
    tile: int = 4096,
) -> Tensor:
    """Patch-wise InfoNCE with memory that grows with N, not N^2: same value and gradient as :func:`infonce_dense`
    (equations 2 and 3).

    No gradient flows into the keys. Arguments, result and errors as :func:`infonce_dense`; computed in float32 (or
    float64 if the queries are), ``tile`` rows by ``tile`` columns of logits at a time.
    """
    image, place = _labels(q, k, visible, temperature)
    dtype = torch.promote_types(q.dtype, torch.float32)
    flat_q, flat_k = q.flatten(0, 1).to(dtype), k.detach().flatten(0, 1).to(dtype)
    with torch.autocast(q.device.type, enabled=False):  # bfloat16 logits would be off by 1 / (500 tau)
        loss: Tensor = _TiledInfoNCE.apply(flat_q, flat_k, image, place, float(temperature), negatives, tile)
    return loss
