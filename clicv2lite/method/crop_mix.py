"""Images made of their own crops at two scales, and of augmented copies of them, drawn while a run reads them (chapter 10).

The paper's best row, ViT-L/16*, was trained with "CLIC's dataset augmentation method" (table 1), which adds mosaics of crops to
the set of images: ``clicv2lite data pack --mosaics published`` makes them (:mod:`clicv2lite.data.packing.mosaics`). This is a
variant of ours for a set without them, so that a run with mosaics and one without can read the same images. It differs:

- two by two cells: a crop of 1/2 to 1 of the image's side, a crop of 1/4 to 1/2 (both log-uniform), and an augmented copy of
  each. A cell is half as wide as the image, so the first crop is shown at 1/2 to 1 of its scale, the second at 1 to 2. CLIC's
  crops are 1/3, 1/6 or 1/12 of the side, both of a mosaic of the same scale, cut before the image is made small;
- the copies are augmented like patches (mirror, colours, blur), and not turned;
- a share of the images is *replaced*, drawn again in every epoch: one half in the recipe ``vit-l16-star``. CLIC's mosaics stand
  beside their images, ten for each, drawn once.

The two views, the mask and the entropies are those of the new image.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BOX_DRAWS, AUGMENT_DRAWS = 3, 5
MIX_DRAWS = 1 + 2 * BOX_DRAWS + 2 * AUGMENT_DRAWS + 4  # replaced or not, two boxes, two copies, the order of the four cells


def mixed(images: Tensor, noise: Tensor, share: float, augment: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Replace a share of the images: each becomes two by two cells with crops of itself (table 1, ViT-L/16*).

    Args:
        images: (B, 3, S, S) float in [0, 1], S even.
        noise: (B, MIX_DRAWS) uniform in [0, 1).
        share: how many of the images are replaced, in [0, 1].
        augment: (B, 2, 3, S/2, S/2) crops in [0, 1] and (B, 2, 5) noise -> augmented crops of the same shape.

    Returns:
        (B, 3, S, S) in [0, 1]: the image, or the four cells.
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
    """Two square boxes per image. The side of the first is 1/2 to 1 of the image's side, that of the second 1/4 to 1/2.

    Args:
        noise: (B, 2, 3) uniform in [0, 1).
        size: side of the images, pixels.

    Returns:
        (B, 2, 3) int64: top, left, side.
    """
    octave = noise[..., 0] + torch.arange(2, device=noise.device)  # halvings of the two crops: 0..1 and 1..2
    side = (size * torch.exp2(-octave)).round().clamp(1, size)
    place = (noise[..., 1:] * (size - side + 1)[..., None]).floor()
    return torch.cat([place, side[..., None]], dim=-1).long()


def resample(images: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Cut out square boxes and resize them. The result is that of ``interpolate(mode="bilinear", antialias=True)`` per box.

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
    return (rows @ images[:, None] @ columns.mT).clamp_(0, 1)  # weights add up to 1 only up to rounding


def resize_matrix(start: Tensor, length: Tensor, size: int, side: int) -> Tensor:
    """Resizing as a matrix: the weights of `size` old pixels in each of `side` new ones, which cover the `length` from `start`.

    Args:
        start, length: (...) int64.

    Returns:
        (..., side, size) float32; each row adds up to 1. The weights are triangles, as wide as the larger of an old pixel and
        a new one.
    """
    step = (length / side)[..., None, None]  # width of a new pixel, in old pixels
    middle = (torch.arange(side, device=start.device)[:, None] + 0.5) * step
    pixel = torch.arange(size, device=start.device) - start[..., None, None]  # counted from the edge of the box
    weight = (1 - (pixel + 0.5 - middle).abs() / step.clamp(min=1)).clamp(min=0)
    weight = weight * ((pixel >= 0) & (pixel < length[..., None, None]))  # only pixels inside the box count
    return weight / weight.sum(-1, keepdim=True)
