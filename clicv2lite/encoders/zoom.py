"""A closer look at a patch: its middle, enlarged to fill it (book chapter 14)."""

from torch import Tensor


def zoomed(images: Tensor, patch: int, times: int) -> Tensor:
    """The middle of every patch in place of the patch, each of its pixels as a square of ``times`` x ``times``.

    The grid of patches stays as it is, so a patch embedding makes as many tokens of it. Each is of a part whose side is
    1 / ``times`` of the patch's.

    >>> import torch
    >>> from clicv2lite.encoders.zoom import zoomed
    >>> zoomed(torch.arange(16.0).reshape(1, 1, 4, 4), patch=4, times=2)[0, 0]
    tensor([[ 5.,  5.,  6.,  6.],
            [ 5.,  5.,  6.,  6.],
            [ 9.,  9., 10., 10.],
            [ 9.,  9., 10., 10.]])

    Args:
        images: (B, C, H, W), any dtype; H and W are multiples of ``patch``.
        patch: side p of a patch in pixels, a multiple of ``times``.
        times: how much larger; 1 changes nothing.

    Returns:
        (B, C, H, W).
    """
    side = patch // times
    first = (patch - side) // 2
    cells = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (B, C, h, p, w, p)
    middles = cells[:, :, :, first : first + side, :, first : first + side]
    return middles.repeat_interleave(times, 3).repeat_interleave(times, 5).flatten(4, 5).flatten(2, 3)
