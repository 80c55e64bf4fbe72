"""What CLICv2's loss costs: counted pair by pair, in the paper's numbers."""

import pytest

from clicv2lite.learners.base import NoSettings, Step
from clicv2lite.learners.clicv2 import METHOD, compared, price
from clicv2lite.method.clicv2 import ModelConfig


@pytest.mark.parametrize("compare, features", [("patch", 20), ("image", 1)])
def test_every_feature_of_the_batch_is_compared_with_every_other(compare, features):
    images, project = 6, 16
    n = compared(ModelConfig(compare=compare), 20)
    assert n == features
    pairs = sum(1 for _ in range(images * n) for _ in range(images * n))
    found = price(Step(images, 3, 3, n, project), NoSettings())
    assert found.pairs == pairs
    assert found.forward * images == 2 * 2 * pairs * project  # logits and weighted keys, two operations a multiply-add
    assert found.backward == 0 and found.features == images * n + 2 * 3 * n


def test_the_papers_batch_needs_204_gigabytes_of_dense_logits_and_their_gradient():
    """2,048 images of 78 visible patches at ViT-L/16, all on one GPU."""
    step = Step(2048, 2048, 64, 78, 256)
    assert price(step._replace(dense=True), NoSettings()).logits == pytest.approx(204e9, rel=0.01)
    assert price(step, NoSettings()).logits == 4 * 4096**2, "in tiles it is 64 MiB"


def test_there_is_a_second_loss_only_if_something_is_predicted():
    assert METHOD.decodes and METHOD.crop_draws == (0,) and METHOD.fixed == {"backbone": "vit"}
