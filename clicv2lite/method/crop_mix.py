"""Images made of their own parts at two scales, and of augmented copies of these: CLIC's data-set augmentation (chapter 10).

The paper's best row, ViT-L/16*, was trained with it (table 1), and no more is said. It comes from the first version of CLIC
(Liu et al. 2024, arXiv 2408.03230), as "Random Crop and Mix": samples that consist of local crops at several scales, which also
enlarge the training set without further images. How many crops, at which scales, how they are put together and how many
images are replaced is not stated in what we could read. Chosen here:

- two by two cells: a crop with 1/2 to 1 of the image's side, one with 1/4 to 1/2 (log-uniform), and an augmented copy of
  each; in cells half as wide as the image they are seen at 1/2 to 1 and at 1 to 2 times their scale;
- the four come in random order, the copies are augmented as patches are (mirror, colours, blur), the crops stay as they are;
- a share of the images, drawn anew in every epoch, is replaced; one half in the recipe ``vit-l16-star``.

The two views, the mask and the entropies are those of the new image.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BOX_DRAWS, AUGMENT_DRAWS = 3, 5
MIX_DRAWS = 1 + 2 * BOX_DRAWS + 2 * AUGMENT_DRAWS + 4  # replaced or not, two boxes, two copies, the order of four


def mixed(images: Tensor, noise: Tensor, share: float, augment: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Replace a share of the images by two by two tiles of their own crops.

    Args:
        images: (B, 3, S, S) float in [0, 1], S even.
        noise: (B, MIX_DRAWS) uniform in [0, 1).
        share: of the images that are replaced, in [0, 1].
        augment: (B, 2, 3, S/2, S/2) crops in [0, 1] and (B, 2, 5) noise -> such crops.

    Returns:
        (B, 3, S, S) in [0, 1]: an image, or its tiles.
    """
    chosen, box_noise, copy_noise, order_noise = noise.split([1, 2 * BOX_DRAWS, 2 * AUGMENT_DRAWS, 4], dim=1)
    size = images.shape[-1]
    boxes = scale_boxes(box_noise.unflatten(1, (2, BOX_DRAWS)), size)
    crops = resample(images, boxes, size // 2)  # (B, 2, 3, S/2, S/2)
    cells = torch.cat([crops, augment(crops, copy_noise.unflatten(1, (2, AUGMENT_DRAWS)))], dim=1)
    order = order_noise.argsort(1)[:, :, None, None, None].expand_as(cells)
    top_left, top_right, low_left, low_right = cells.gather(1, order).unbind(1)
    tiles = torch.cat([torch.cat([top_left, top_right], -1), torch.cat([low_left, low_right], -1)], -2)
    return torch.where((chosen < share)[..., None, None], tiles, images)


def scale_boxes(noise: Tensor, size: int) -> Tensor:
    """Two square boxes an image, the first with 1/2 to 1 of its side, the second with 1/4 to 1/2.

    Args:
        noise: (B, 2, 3) uniform in [0, 1).
        size: side of the images, pixels.

    Returns:
        (B, 2, 3) int64: top, left, side.
    """
    octave = noise[..., 0] + torch.arange(2, device=noise.device)  # of two crops: 0..1 and 1..2 halvings
    side = (size * torch.exp2(-octave)).round().clamp(1, size)
    place = (noise[..., 1:] * (size - side + 1)[..., None]).floor()
    return torch.cat([place, side[..., None]], dim=-1).long()


def resample(images: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Cut square boxes out and resize them, as ``interpolate(mode="bilinear", antialias=True)`` does one by one.

    Args:
        images: (B, 3, S, S) float in [0, 1].
        boxes: (B, N, 3) int64: top, left, side.
        side: of the result, pixels.

    Returns:
        (B, N, 3, side, side) in [0, 1].
    """
    top, left, length = boxes.unbind(-1)
    size = images.shape[-1]
    rows, columns = (resize_matrix(start, length, size, side)[:, :, None] for start in (top, left))  # (B, N, 1, side, S)
    return (rows @ images[:, None] @ columns.mT).clamp_(0, 1)  # weights that add up to 1, but for rounding


def resize_matrix(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """Resizing is linear: the weights of `size` pixels in each of `side` pixels that cover start .. start + length - 1.

    Args:
        start, length: (...) int64.

    Returns:
        (..., side, size) float32, rows adding up to 1: triangles as wide as the pixels of the coarser of the two grids.
    """
    step = (length / side)[..., None, None]  # of a new pixel, in old ones
    middle = (torch.arange(side, device=start.device)[:, None] + 0.5) * step
    pixel = torch.arange(size, device=start.device) - start[..., None, None]  # counted from the box
    weight = (1 - (pixel + 0.5 - middle).abs() / step.clamp(min=1)).clamp(min=0)
    weight = weight * ((pixel >= 0) & (pixel < length[..., None, None]))  # beyond the box there is nothing to see
    return weight / weight.sum(-1, keepdim=True)
