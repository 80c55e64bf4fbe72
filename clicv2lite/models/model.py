"""A model folder: a frozen encoder and the head that was fitted on it, in files that hold no code (book chapter 8)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from clicv2lite.arrays import Floats
from clicv2lite.data.inputs import listed, squares
from clicv2lite.encoders.frozen import WEIGHTS, FrozenEncoder
from clicv2lite.encoders.place_shares import shares
from clicv2lite.errors import UserError
from clicv2lite.files import digest, write_bytes
from clicv2lite.heads.base import KINDS, Head
from clicv2lite.heads.bounds import bounded
from clicv2lite.models.by_name import DEFAULT, load_encoder

HEAD_FILE = "head.safetensors"
FORMAT = 1


class Model:
    """A frozen encoder and its head: images to scores.

    `score`, `features` and `complexity_map` take images as people have them: a path, a PIL image, a NumPy array
    (H, W, 3) or (H, W), a tensor (C, H, W), of any size; the first two also an iterable of these, or a batch. `ratings`,
    `scores` and `maps` take the squares that the encoder sees. What an image gets does not depend on its batch, to rounding.
    """

    def __init__(self, encoder: FrozenEncoder, head: Head) -> None:
        self.encoder, self.head = encoder, head

    def score(self, images: Any) -> Any:
        """Complexity in 0..1 as `clicv2lite score` gives it: a float for one image, else (N,) float64.

        Raises:
            UserError: if something is not an image or cannot be read; see :mod:`clicv2lite.data.inputs` for what is.
        """
        found, single = listed(images)
        scores = np.concatenate([self.ratings(batch) for batch in squares(found, self.encoder.size)])
        return float(scores[0]) if single else scores

    def features(self, images: Any) -> NDArray[np.float32]:
        """What a linear head reads of the images: (F,) float32 for one image, else (N, F). Errors as `score`."""
        found, single = listed(images)
        features: NDArray[np.float32] = pooled(self.encoder, found).numpy()
        return features[0] if single else features

    def complexity_map(self, image: Any) -> Floats:
        """(h, w) complexity of each place of one image, the aspect ratio squashed; see `maps`. Errors as `score`."""
        found, single = listed(image)
        if not single:
            raise UserError(f"complexity_map: {len(found)} images; give one at a time")
        complexity: Floats = self.maps(next(squares(found, self.encoder.size)))[0]
        return complexity

    def ratings(self, images: Tensor) -> Floats:
        """(B, 3, S, S) uint8 -> (B,) scores on the scale of the ratings, 0..1; see :func:`clicv2lite.heads.bounds.bounded`."""
        scores = self.scores(images)
        return scores if self.head.bounded else bounded(torch.from_numpy(scores)).numpy()

    def scores(self, images: Tensor) -> Floats:
        """(B, 3, S, S) uint8 -> (B,) scores as the head gives them; a linear one knows no bounds."""
        return self.head.predict(read_by(self.head, self.encoder, images))

    def maps(self, images: Tensor) -> Floats:
        """(B, 3, S, S) uint8 -> (B, h, w) complexity of each place.

        ICNet's maps lie in 0..1. A linear head's are exact shares of its score (their mean is the score) in any range.
        """
        images = images.to(use_device(self.encoder))
        read = shares(self.encoder, images) if self.head.reads == "features" else self.encoder.tokens(images)
        return self.head.maps(read)


def read_by(head: Head | type[Head], encoder: FrozenEncoder, images: Tensor) -> Tensor:
    """What `head` reads of (B, 3, S, S) uint8 images, on any device."""
    images = images.to(use_device(encoder))
    return encoder.features(images) if head.reads == "features" else encoder.tokens(images)


def pooled(encoder: FrozenEncoder, images: list[Any]) -> Tensor:
    """(N, F) float32 pooled features, on the CPU, of N images as people have them; errors as `Model.score`."""
    return torch.cat([encoder.features(batch.to(use_device(encoder))).cpu() for batch in squares(images, encoder.size)])


def use_device(encoder: FrozenEncoder) -> torch.device:
    """The device that an encoder computes on: a GPU if there is one, to which it is moved."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.to(device)  # nothing to do from the second call on
    return device


def save_model(folder: Path, model: Model, spec: str) -> None:
    """Write the encoder and head.safetensors, so that the folder alone is a model for `score`.

    Args:
        folder: exists. An encoder that already lies there, because it was loaded from there, is left as it is.
        spec: the encoder as the user named it.
    """
    source = Path(spec, WEIGHTS) if Path(spec).is_dir() else Path(spec)
    if source.resolve() != (folder / WEIGHTS).resolve():
        model.encoder.save(folder)
    about = {
        "format": FORMAT,
        "kind": model.head.kind,
        "config": model.head.config(),
        "encoder": {
            "size": model.encoder.size,
            "width": model.encoder.width,
            "sha256": digest(folder / WEIGHTS),
        },
    }
    # last: a folder with a head is complete
    write_bytes(folder / HEAD_FILE, save(model.head.tensors(), metadata={"clicv2lite": json.dumps(about)}))


def load_model(spec: str | Path = "default") -> Model:
    """Load what `save_model` wrote; also `clicv2lite.load`.

    Args:
        spec: a folder, or "default" for the model that comes with the package.

    Raises:
        UserError: if there is no model, its head is damaged, or its encoder is not the one the head was fitted on.
    """
    folder = DEFAULT if spec == "default" else Path(spec)
    path = folder / HEAD_FILE
    if not path.is_file():
        make = "`clicv2lite probe --encoder E --ratings CSV --head ridge --out DIR`"
        if spec == "default":
            raise UserError(f"model default: {path} is missing; install clicv2lite again, or make a model with {make}")
        raise UserError(f"model {spec}: there is no {HEAD_FILE} in it; make a model with {make}")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["clicv2lite"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        head = KINDS[about["kind"]].restore(about["config"], tensors)
        expected = about["encoder"]["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: this is not a head of clicv2lite ({reason}); run probe --out again") from error
    encoder_file = folder / WEIGHTS
    if not encoder_file.is_file() or digest(encoder_file) != expected:
        raise UserError(f"{encoder_file}: missing, or not the encoder this head was fitted on; run probe --out again")
    return Model(load_encoder(str(folder)), head)
