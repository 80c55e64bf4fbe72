"""flags.js alone: Python's flags, on pictures of every kind and on those near a threshold."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clicv2lite.data import flags, worlds
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square

SCRIPT = Path(__file__).parents[2] / "book" / "_ext" / "static" / "scorer" / "flags.js"
THRESHOLDS = {name: value for name, value in vars(flags).items() if name.isupper()}
RUN = """([script, thresholds, pictures]) => {
  const imageFlags = new Function(`${script}; return imageFlags;`)();
  return pictures.map(([bytes, side, size]) =>
    imageFlags(Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0)), side, size, thresholds));
}"""


def pictures(rng: np.random.Generator) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """(3, S, S) uint8 and the size before: whole, faint, framed, of few colours, of few levels, long and small."""
    whole = [read_square(path, 224) for path in photographs().values()]
    whole += list(torch.as_tensor(worlds.sample(12, seed=0, size=224)[0]).permute(0, 3, 1, 2))
    for image in whole:
        yield image, (640, 480)
    for _ in range(120):
        image = whole[rng.integers(len(whole))].float()
        kind = rng.integers(4)
        if kind == 0:
            image = 127 + (image - image.mean()) * rng.uniform(0, 0.2)
        elif kind == 1:
            edge = int(rng.integers(0, 16))
            image[:, :edge], image[:, 224 - edge :] = float(rng.integers(256)), 255.0
        elif kind == 2:
            image = (image / (step := rng.integers(8, 100))).floor() * step
        else:  # lines of ink on a ground
            image = torch.full_like(image, 250.0)
            image[:, :: int(rng.integers(8, 24)), :: int(rng.integers(3, 30))] = float(rng.integers(0, 220))
            image[:, :, ::2] = image[:, :, 1::2]
            image[0] += float(rng.integers(0, 3)) * 20 * (image[0] < 200)
        width, height = (int(side) for side in rng.integers(90, 400, 2))
        yield image.clamp(0, 255).to(torch.uint8), (width, height)
    yield whole[0][:, :62, :62].contiguous(), (30, 90)  # a side of other remainders


def test_flags_are_pythons_and_each_is_seen(visit):
    shown = list(pictures(np.random.default_rng(0)))
    want = [list(flags.image_flags(square, size)) for square, size in shown]
    coded = [
        [base64.b64encode(square.permute(1, 2, 0).contiguous().numpy().tobytes()).decode(), square.shape[-1], list(size)]
        for square, size in shown
    ]
    got = visit.page.evaluate(RUN, [SCRIPT.read_text(encoding="utf-8"), json.loads(json.dumps(THRESHOLDS)), coded])
    assert got == want
    for name in flags.FLAGS:
        share = np.mean([name in each for each in want])
        assert 0.02 < share < 0.9, f"{name} in {share:.0%} of the pictures: this test says little of it"
