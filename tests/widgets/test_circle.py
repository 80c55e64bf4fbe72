"""Points on a circle: the script's loss and gradient are torch's, the loss is the package's, and no negatives mean collapse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from traitlets import TraitError

from clicv2lite.extras import MissingPackage
from clicv2lite.method.infonce import infonce_dense

circle = pytest.importorskip("clicv2lite.widgets.circle", exc_type=MissingPackage)
settings = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.2, 1.0]), st.integers(1, 31), st.booleans())


@given(settings, st.lists(st.floats(-2, 2, width=16), min_size=18, max_size=18))
def test_browser_has_torchs_points_losses_and_gradient(script, chosen, change):
    seed, temperature, count, repel = chosen
    weights = circle.images_and_start(seed)[2] + torch.tensor(change, dtype=torch.float64)
    want = circle.on_circle(weights, seed, temperature, count, repel)
    constants = circle.CircleExplorer().constants
    got = script("onCircle", weights.tolist(), seed, temperature, count, repel, constants)
    np.testing.assert_allclose(np.array(got["queries"])[:, :2], want.queries, atol=1e-9)
    np.testing.assert_allclose(np.array(got["keys"])[:, :2], want.keys, atol=1e-9)
    np.testing.assert_allclose(got["gradient"], want.gradient, rtol=1e-6, atol=1e-9)
    for name in ("loss", "alignment", "uniformity"):
        assert got[name] == pytest.approx(getattr(want, name), rel=1e-9, abs=1e-9)


def test_browser_starts_where_python_does(script):
    got = script("imagesAndStart", 7, circle.CircleExplorer().constants)
    for mine, want in zip((got["first"], got["second"], got["start"]), circle.images_and_start(7), strict=True):
        np.testing.assert_allclose(mine, want, rtol=0, atol=1e-15)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
def test_with_all_negatives_the_loss_is_the_packages(temperature):
    found = circle.on_circle(circle.images_and_start(1)[2], 1, temperature, circle.IMAGES - 1)
    places = torch.zeros(circle.IMAGES, 1, dtype=torch.long)
    assert found.loss == pytest.approx(float(infonce_dense(found.queries[:, None], found.keys[:, None], places, temperature)))


def test_negatives_spread_the_points_and_without_them_the_points_draw_together():
    spread, drawn = circle.CircleExplorer(), circle.CircleExplorer(repel=False)
    start = spread.result()
    for _ in range(300):
        spread.step(), drawn.step()
    assert spread.result().loss < start.loss and spread.result().uniformity < start.uniformity
    assert drawn.result().loss < 0.01 and drawn.result().uniformity > start.uniformity + 0.5


def test_new_seed_starts_again_and_wrong_weights_are_refused():
    widget = circle.CircleExplorer()
    widget.step()
    assert widget.steps == 1
    widget.seed = 5
    assert widget.steps == 0 and widget.weights == circle.images_and_start(5)[2].tolist()
    with pytest.raises(TraitError, match="has 18 numbers, got 1"):
        widget.weights = [1.0]
