"""Which head is fitted, and with which settings."""

import copy

import numpy as np
import pytest
import torch

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import untrained_encoder
from clicv2lite.heads.icnet import IcnetShape, IcnetTraining, fit_icnet
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.probe.fitting import fitter


@pytest.fixture(scope="module")
def encoder():
    return untrained_encoder("tiny", FrozenConfig(EncoderConfig(size=32, patch=8, width=16, depth=1, heads=2)), 0)


def test_ridge_is_fitted_as_it_is(encoder):
    assert fitter("ridge", encoder, 0) is fit_ridge


def test_icnets_head_has_the_encoders_shape_the_papers_settings_and_those_that_are_given(encoder):
    tokens, scores = torch.rand(8, 4, 4, 16), np.linspace(0, 1, 8)
    got = fitter("icnet", encoder, 3, epochs=2, channels=4)(tokens, scores, None)
    want = fit_icnet(tokens, scores, IcnetShape(16, 4, 4), IcnetTraining(epochs=2), 3)
    assert got.config() == want.config() and all(a.equal(b) for a, b in zip(got.parameters(), want.parameters(), strict=True))
    with pytest.raises(ValueError, match="differences within groups"):
        fitter("icnet", encoder, 3)(tokens, scores, np.array(["a", "b"] * 4))


def test_a_head_is_trained_where_the_encoder_was_also_when_it_has_made_room_for_the_next_one(encoder):
    moved = copy.deepcopy(encoder)
    fit = fitter("icnet", moved, 3, epochs=1, channels=4)
    moved.to(torch.device("meta"))
    assert next(fit(torch.rand(8, 4, 4, 16), np.linspace(0, 1, 8)).parameters()).device.type == "cpu"
