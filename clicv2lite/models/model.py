"""A model: a frozen encoder and the head that was fitted on it. Its files hold no code (book chapter 8)."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clicv2lite.ambient import own_settings
from clicv2lite.arrays import Floats
from clicv2lite.data.flags import image_flags
from clicv2lite.data.inputs import listed, square, squares
from clicv2lite.device import choose_device
from clicv2lite.encoders.finite import check_finite
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.place_shares import shares
from clicv2lite.encoders.weight_files import WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.heads.base import Head
from clicv2lite.heads.bounds import bounded
from clicv2lite.lines import Notes
from clicv2lite.models.by_name import SHIPPED, load_encoder, model_folder
from clicv2lite.models.head_file import HEAD_FILE, check_fits, read_head, write_head
from clicv2lite.models.module import ImageScorer
from clicv2lite.models.norms import NORMS_FILE, Norms, Rating, fingerprint, own_norms, write_norms

MODELS = "folder that `probe --out` wrote; default; plus: with formulas, closer to ratings, needs clicv2lite[plus]; or lite"
"""What an option `--model` takes, in its help."""


class Model:
    """A frozen encoder and its head: they turn images into scores.

    `score`, `features` and `complexity_map` take an image of any size as a path, a PIL image, a NumPy array (H, W, 3) or
    (H, W), or a tensor (C, H, W). `score` and `features` also take a batch, or an iterable of images. `ratings`, `scores` and
    `maps` take the squares that the encoder sees; `functools.partial(inputs.square, size=model.encoder.size)`, of
    :mod:`clicv2lite.data.inputs`, is the transform that makes them in the workers of a DataLoader. The result for an image
    does not depend on its batch, except for rounding, and not on the caller's settings of torch and NumPy
    (:func:`clicv2lite.ambient.own_settings`).
    """

    def __init__(self, encoder: FrozenEncoder, head: Head, norms: Norms | None = None) -> None:
        self.encoder, self.head, self.norms = encoder, head, norms

    def __repr__(self) -> str:
        what = f"encoder={self.encoder.name!r}, size={self.encoder.size}, head={self.head.kind!r}"
        reference = self.norms and self.norms.reference
        return f"{type(self).__name__}({what}, norms={reference!r}, device={str(self.device)!r})"

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        return self.encoder.device

    def to(self, device: str | torch.device) -> "Model":
        """Compute on another device from now on, as `load_model` names it: "cpu", "cuda:1", "mps", "auto".

        Raises:
            UserError: if there is no such device here.
        """
        where = choose_device(device)
        self.encoder.to(where)
        self.head.to(where)
        return self

    def save(self, folder: str | Path) -> None:
        """Write the model into a folder, for `load` and `clicv2lite score --model`: encoder, head, and norms of this head.

        Args:
            folder: made if it is missing. If this very encoder lies in it, its files are left as they are.

        Raises:
            UserError: if the encoder cannot be stored, as a module of your own, or would replace that of a pretraining.
        """
        folder = Path(folder)
        if not _holds(folder, self.encoder):
            self.encoder.check_storable("save")
            check_no_pretraining(folder, "save")
            self.encoder.save(folder)
        if self.norms and self.norms.head == fingerprint(self.head):
            write_norms(folder / NORMS_FILE, self.norms)
        write_head(folder, self.head, self.encoder)  # the last, so a folder that has a head is complete

    def as_module(self) -> ImageScorer:
        """A differentiable module of torch: float images (N, 3, H, W) in 0..1 -> scores (N,); see `ImageScorer`.

        >>> import clicv2lite, torch
        >>> image = torch.full((1, 3, 448, 448), 0.5, requires_grad=True)
        >>> clicv2lite.load().as_module()(image).sum().backward()
        >>> image.grad.shape
        torch.Size([1, 3, 448, 448])
        """
        return ImageScorer(self.encoder, self.head)

    def score_batch(
        self, batch: Mapping[str, Sequence[Any]], column: str = "image", errors: Literal["raise", "nan"] = "raise"
    ) -> dict[str, list[float]]:
        """Scores of a batch of columns, for `map` of Hugging Face's datasets: `ds.map(model.score_batch, batched=True)`.

        Args:
            batch: columns by name. column: the one with the images, in any form that `score` takes, or undecoded, as a mapping
                with `bytes` or `path`; set it by `fn_kwargs={"column": "photo"}`.
            errors: as in `score`.

        Returns:
            the column `score`, as long as the batch.

        Raises:
            UserError: if there is no such column, or as `score`.
        """
        if column not in batch:
            names = ", ".join(map(str, batch))
            raise UserError(f"score_batch: no column {column!r} among {names}; name it: fn_kwargs={{'column': ...}}")
        images = [_encoded(image) for image in batch[column]]
        return {"score": self.score(images, errors=errors).tolist() if images else []}

    @own_settings()
    def score(self, images: Any, device: str | torch.device | None = None, errors: Literal["raise", "nan"] = "raise") -> Any:
        """Complexity in 0..1, as `clicv2lite score` gives it: a float for one image, else (N,) float64.

        >>> import clicv2lite
        >>> from skimage import data
        >>> round(clicv2lite.load().score(data.coffee()), 2)  # a photograph in the scikit-image package
        0.32

        Args:
            images: see the class.
            device: move there first, as `to`; None stays where the model is.
            errors: with "nan", an image that cannot be used is a line on stderr, and its score is nan.

        Raises:
            UserError: if there is no such device, if something is not an image or cannot be read
                (:mod:`clicv2lite.data.inputs` lists what counts as one), or if what the encoder makes of it is not finite.
        """
        if errors not in ("raise", "nan"):
            raise UserError(f"score: errors={errors!r}: give 'raise' or 'nan'")
        if device is not None:
            self.to(device)
        found, single = listed(images)
        bad: dict[int, UserError] = {}
        failed = bad.__setitem__ if errors == "nan" else None
        scores = np.concatenate([self.ratings(batch) for batch in squares(found, self.encoder.size, failed=failed)])
        with closing(Notes()) as note:
            for i, error in sorted(bad.items()):
                note(str(error))
                scores[i] = np.nan
        return float(scores[0]) if single else scores

    @own_settings()
    def rate(self, images: Any) -> Any:
        """As `score`, with what the score means: a :class:`clicv2lite.models.norms.Rating` for one image, else a list.

        >>> import clicv2lite
        >>> from skimage import data
        >>> rating = clicv2lite.load().rate(data.coffee())
        >>> rating.low < rating.score < rating.high, rating.flags
        (True, ())

        Errors as in `score`.
        """
        found, single = listed(images)
        ratings = []
        for i, image in enumerate(found):
            size: list[tuple[int, int]] = []
            seen = square(image, self.encoder.size, f"image {i}" if len(found) > 1 else "image", sized=size.append)
            score, flags = float(self.ratings(seen[None])[0]), image_flags(seen, size[0])
            ratings.append(self.norms.rating(score, flags) if self.norms else Rating(score, None, None, None, flags))
        return ratings[0] if single else ratings

    @own_settings()
    def features(self, images: Any) -> NDArray[np.float32]:
        """The features that a linear head reads: (F,) float32 for one image, else (N, F). Errors as in `score`."""
        found, single = listed(images)
        features: NDArray[np.float32] = pooled(self.encoder, found).numpy()
        return features[0] if single else features

    @own_settings()
    def complexity_map(self, image: Any) -> Floats:
        """Complexity of each place of one image, resized to a square: (h, w); see `maps`. Errors as in `score`."""
        found, single = listed(image)
        if not single:
            raise UserError(f"complexity_map: a list or batch of {len(found)}; give one image, itself")
        complexity: Floats = self.maps(next(squares(found, self.encoder.size)))[0]
        return complexity

    @own_settings()
    def ratings(self, images: Tensor) -> Floats:
        """Images (B, 3, S, S) uint8 -> scores (B,) in 0..1, see :func:`clicv2lite.heads.bounds.bounded`."""
        scores = self.scores(images)
        return scores if self.head.bounded else bounded(torch.from_numpy(scores)).numpy()

    @own_settings()
    def scores(self, images: Tensor) -> Floats:
        """Images (B, 3, S, S) uint8 -> scores (B,) as the head gives them. The scores of a linear head have no bounds.

        Raises:
            UserError: if what the encoder makes of these images is not finite.
        """
        read = read_by(self.head, self.encoder, images)
        check_finite(self.encoder, [read])
        return self.head.predict(read)

    @own_settings()
    def maps(self, images: Tensor) -> Floats:
        """Images (B, 3, S, S) uint8 -> complexity of each place (B, h, w).

        The maps of ICNet's head lie in 0..1. The maps of a linear head are exact shares of its score: their mean is that of
        `scores`, before `bounded`, and single values can lie anywhere. Formulas add the same to every place: what
        differs comes from the networks.
        """
        images = images.to(self.encoder.device)
        if self.head.reads != "features":
            return self.head.maps(self.encoder.tokens(images))
        # one at a time: shares on a grid that two patches divide are far larger than the image
        return np.concatenate([self.head.maps(shares(self.encoder, image)) for image in images.split(1)])


def _encoded(image: Any) -> Any:
    """The bytes or the path of an image that datasets has not decoded; others as they are."""
    if isinstance(image, Mapping) and {"bytes", "path"} & set(image):
        return image["bytes"] if image.get("bytes") is not None else image.get("path")
    return image


def read_by(head: Head | type[Head], encoder: FrozenEncoder, images: Tensor) -> Tensor:
    """The input of `head` for images (B, 3, S, S) uint8 on any device: pooled features or tokens."""
    images = images.to(encoder.device)
    return encoder.features(images) if head.reads == "features" else encoder.tokens(images)


@own_settings()
def pooled(encoder: FrozenEncoder, images: list[Any]) -> Tensor:
    """Pooled features (N, F) float32, on the CPU, of N images in any form that `Model.score` takes; errors as there."""
    found = torch.cat([encoder.features(batch.to(encoder.device)).cpu() for batch in squares(images, encoder.size)])
    check_finite(encoder, [found])
    return found


def is_encoder_in(folder: Path, spec: str) -> bool:
    """Whether the name of an encoder, as the user gave it, is the encoder's file in this folder."""
    source = Path(spec, WEIGHTS) if Path(spec).is_dir() else Path(spec)
    return source.resolve() == (folder / WEIGHTS).resolve()


def check_no_pretraining(folder: Path, asked: str = "--out") -> None:
    """Refuse the folder of a pretraining for another encoder, which would replace its own.

    Args:
        asked: the option or function that the folder was given to.

    Raises:
        UserError: as said.
    """
    if (folder / "metrics.jsonl").exists():
        raise UserError(f"{asked} {folder}: the encoder of this pretraining would be lost; name another folder")


def _holds(folder: Path, encoder: FrozenEncoder) -> bool:
    """Whether a folder holds these weights, read in this way."""
    try:
        return (folder / WEIGHTS).is_file() and load_encoder(folder).digest() == encoder.digest()
    except UserError:  # its file is damaged, or from another version
        return False


@own_settings()
def load_model(spec: str | Path = "default", device: str | torch.device = "auto") -> Model:
    """Load a model that `Model.save` wrote. This is `clicv2lite.load`.

    >>> import clicv2lite
    >>> model = clicv2lite.load()
    >>> model.head.kind, model.encoder.size
    ('ridge', 448)

    Args:
        spec: a folder; or a model that comes with the package: "default"; "plus", which has eleven formulas beside it, agrees
            better with people, and needs scikit-image; or "lite", by the recipe of this name. A ``Path`` is always a folder.
        device: where it computes: "cpu", "cuda", "cuda:1", "mps", or "auto": a GPU of CUDA if there is one.

    Raises:
        UserError: if there is no model or device, its head is damaged, or its head was fitted on another encoder.
    """
    folder = model_folder(spec)
    path = folder / HEAD_FILE
    if not path.is_file():
        make = "`clicv2lite probe --encoder E --ratings CSV --head ridge --out DIR`"
        if spec in SHIPPED:
            raise UserError(f"model {spec}: {path} is missing; install clicv2lite again, or make a model with {make}")
        if not folder.exists():
            *others, last = SHIPPED
            known = f"{', '.join(others)} or {last}"
            hub = "for one on the Hugging Face Hub, call clicv2lite.ComplexityModel.from_pretrained"
            raise UserError(f"model {spec}: there is no such folder; name one, or {known}; {make} makes one; {hub}")
        raise UserError(f"model {spec}: there is no {HEAD_FILE} in it; make a model with {make}")
    head = read_head(folder)
    encoder = load_encoder(folder)
    check_fits(path, head, encoder)
    return Model(encoder, head, own_norms(folder, head)).to(device)
