"""What a user writes against the installed package; `make release-check` type-checks it there with `mypy --strict`."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import clicv2lite
from clicv2lite.models.model import Model

model: Model = clicv2lite.load("default")
score: float = model.score("picture.png")
scores: NDArray[np.float64] = model.score(["picture.png", "picture.png"])
assert_type(model.complexity_map("picture.png"), NDArray[np.float64])
assert_type(model.features(["picture.png"]), NDArray[np.float32])

mine: clicv2lite.ComplexityRegressor = clicv2lite.ComplexityRegressor(encoder="default").fit(["picture.png"] * 2, [0.1, 0.9])
assert_type(mine.predict(["picture.png"]), NDArray[np.float64])
