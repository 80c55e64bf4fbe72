"""The drawings of the overview show what the package computes."""

import re

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("skimage")

import clicv2lite
from clicv2lite.data.embedded import photographs


def test_one_named_drawing_for_each_step_and_the_models_score_in_the_last(extension):
    pipeline, model = extension("pipeline"), clicv2lite.load()
    path = photographs()["chelsea"]
    drawn = pipeline.drawings(model, path)
    assert len(drawn) == len(pipeline.STEPS)
    assert all(re.match(r'<svg viewBox="0 0 168 168" role="img" aria-label="[^"]{8,}">', each) for each in drawn)
    assert f">{model.score(path):.2f}<" in drawn[-1]
    assert len(set(drawn)) == len(drawn)
