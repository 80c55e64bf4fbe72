"""Pixels as the encoders see them: normalised with ImageNet's mean colour and standard deviation (book chapter 6)."""

from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's statistics


def normalize(images: Tensor) -> Tensor:
    """Subtract the mean colour and divide by the standard deviation: (..., 3, H, W) in [0, 1] -> same shape."""
    mean = images.new_tensor(MEAN)[:, None, None]
    std = images.new_tensor(STD)[:, None, None]
    return (images - mean) / std


def denormalize(images: Tensor) -> Tensor:
    """The inverse of :func:`normalize`: (..., 3, H, W) normalised -> same shape."""
    mean = images.new_tensor(MEAN)[:, None, None]
    std = images.new_tensor(STD)[:, None, None]
    return images * std + mean
