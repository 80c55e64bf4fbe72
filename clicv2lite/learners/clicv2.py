"""CLICv2 as a method: shifted patches are compared within the batch, masked ones are predicted (book chapter 7)."""

from clicv2lite.learners.base import Method, NoSettings, Price, Step
from clicv2lite.method.clicv2 import CLICv2, ModelConfig
from clicv2lite.method.infonce import GPU_TILE
from clicv2lite.method.views import draws_per_image, make_views


def compared(model: ModelConfig, visible: int) -> int:
    """One feature a visible patch, or one in all."""
    return visible if model.compare == "patch" else 1


def price(step: Step, own: NoSettings) -> Price:
    """Of patch-wise InfoNCE over the N = B G' features of the global batch (equation 3).

    The loss sees the global batch, so the share of an image grows with it: 4 N G' d, the logits and the softmax-weighted keys;
    with frozen keys that is the gradient already (:func:`clicv2lite.method.infonce.infonce`).
    """
    n, rows = step.batch * step.compared, step.share * step.compared
    logits = 8 * rows * n if step.dense else 4 * min(GPU_TILE, rows) * min(GPU_TILE, n)  # dense ones have a gradient
    return Price(n * n, 4 * n * step.compared * step.project, 0, n + 2 * rows, logits)


METHOD = Method(
    build=lambda model, own: CLICv2(model),
    draws_per_image=draws_per_image,
    make_views=make_views,
    price=price,
    compared=compared,
    auxiliary=lambda views: None if views.target == "none" else views.target,
    decodes=True,
)
