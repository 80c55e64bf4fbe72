"""The method CLICv2: shifted patches are compared within the batch, masked patches are predicted (book chapter 7)."""

from clicv2lite.learners.base import Method, NoSettings, Price, Run, Step
from clicv2lite.method.backbone import VIT
from clicv2lite.method.clicv2 import CLICv2, ModelConfig
from clicv2lite.method.infonce import GPU_TILE
from clicv2lite.method.views import draws_per_image, make_views


def compared(model: ModelConfig, visible: int) -> int:
    """One feature per visible patch, or one per image."""
    return visible if model.compare == "patch" else 1


def price(step: Step, own: NoSettings) -> Price:
    """The cost of patch-wise InfoNCE over the N = B G' features of the global batch (equation 3).

    Every image is compared with the global batch, so its cost grows with the batch: 4 N G' d operations, for the logits and
    the softmax-weighted keys. The keys are constants, so this includes the gradient
    (:func:`clicv2lite.method.infonce.infonce`).
    """
    n, rows = step.batch * step.compared, step.share * step.compared
    logits = 8 * rows * n if step.dense else 4 * min(GPU_TILE, rows) * min(GPU_TILE, n)  # dense logits have a gradient
    return Price(n * n, 4 * n * step.compared * step.project, 0, n + 2 * rows, logits)


def check(run: Run) -> str | None:
    """Refuse a batch in which no query has a negative: the loss would be 0, and nothing would be learned."""
    others, same = run.batch > 1, run.compared > 1
    there = {"batch": others or same, "other-images": others, "same-position": others, "same-image": same}
    if there.get(run.negatives, True):
        return None
    if run.negatives == "same-image":
        return "negatives=same-image: an image has only one visible patch, so no negative; lower mask_ratio, or the patch"
    return f"batch={run.batch}: leaves no negatives (negatives={run.negatives}); take a batch of 2 or more"


PATCHES = {"backbone": VIT}  # it hides and compares single patches, which only the tokens of a ViT allow

METHOD = Method(
    build=lambda model, own: CLICv2(model),
    draws_per_image=draws_per_image,
    make_views=make_views,
    price=price,
    compared=compared,
    auxiliary=lambda views: None if views.target == "none" else views.target,
    brings=PATCHES,
    fixed=PATCHES,
    decodes=True,
    check=check,
)
