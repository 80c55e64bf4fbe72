"""encoder.js alone, on a small model of two encoders with both patch embeddings: Python's score and shares."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.data import flags
from clicv2lite.encoders.config import FrozenConfig, PoolConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.encoders.side_by_side import SideBySide
from clicv2lite.encoders.weight_files import encoder_files
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.head_file import HEAD_FILE
from clicv2lite.models.model import Model, load_model

HERE = Path(__file__).parents[2] / "book" / "_ext" / "static" / "scorer"
ENGINE = "".join((HERE / name).read_text(encoding="utf-8") for name in ("flags.js", "encoder.js"))
THRESHOLDS = {name: value for name, value in vars(flags).items() if name.isupper()}
RUN = """async ([engine, files, image]) => {
  const worker = new Worker(URL.createObjectURL(new Blob([engine])));
  const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${image}`)).blob());
  worker.postMessage({ files });
  return new Promise((resolve) => {
    worker.onmessage = ({ data: { error, score, shares } }) => {
      if (error || shares) resolve({ error, score, shares: [...(shares ?? [])] });
    };
    worker.postMessage({ bitmap, shown: [8, 8] }, [bitmap]);
  });
}"""


def tiny(seed: int, embed: str, patch: int, read: str, blocks: tuple[int, ...], zoom: tuple[int, ...]) -> FrozenEncoder:
    torch.manual_seed(seed)
    config = EncoderConfig(size=64, patch=patch, width=16, depth=max(blocks) + 1, heads=2, patch_embed=embed)
    net = PlainViT(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return FrozenEncoder("tiny", net, FrozenConfig(config, PoolConfig(blocks, ("mean", "std"), 64, read, 1, zoom)))


@pytest.mark.parametrize(
    ("read", "blocks", "zoom"), [("likeness", (0, 1), ()), ("nearest", (0, 2), (2,)), ("likeness", (1,), (4, 1))]
)
def test_two_encoders_with_both_embeddings_give_pythons_score_and_shares(visit, tmp_path, read, blocks, zoom):
    parts = [tiny(0, "linear", 16, read, blocks, zoom), tiny(1, "conv-pool", 8, read, blocks, zoom)]
    SideBySide("two", parts).save(tmp_path, half=True)  # as the package's own
    encoder = load_encoder(str(tmp_path))
    contrast = torch.rand(16, 1, 1, 1)
    images = (contrast * torch.randint(0, 256, (16, 3, 64, 64))).to(torch.uint8)
    Model(encoder, fit_ridge(encoder.features(images), np.linspace(0.1, 0.9, 16))).save(tmp_path)
    model, coded = load_model(tmp_path, "cpu"), lambda path: base64.b64encode(path.read_bytes()).decode()
    files = {
        "encoders": [coded(path) for path in encoder_files(tmp_path)],
        "head": coded(tmp_path / HEAD_FILE),
        "thresholds": THRESHOLDS,
    }
    visit.page.goto("about:blank")
    for image in images[:3]:
        png = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(png, "PNG")
        shown = [ENGINE, files, base64.b64encode(png.getvalue()).decode()]
        got = visit.page.evaluate(RUN, shown)
        assert not got.get("error"), got
        assert abs(got["score"] - model.ratings(image[None])[0]) < 1e-4
        np.testing.assert_allclose(got["shares"], model.maps(image[None])[0].ravel(), atol=1e-3)
