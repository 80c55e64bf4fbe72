"""Patch-wise InfoNCE to play with: one query patch and all keys of a small batch (CLICv2, equations 2 and 3; chapter 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.clicv2 import CLICv2, ModelConfig
from clicv2lite.method.encoder import encode_visible
from clicv2lite.method.infonce import excluded, infonce_dense
from clicv2lite.method.patches import patchify, unpatchify
from clicv2lite.method.pixels import denormalize
from clicv2lite.method.views import PATCH_DRAWS, ViewConfig, Views, one_view
from clicv2lite.widgets.draws import uniforms
from clicv2lite.widgets.explorer import Widget, as_batch, front_end, square, style_sheet

with extra("notebooks"):
    import traitlets as t

DRAWN = ("batch", "other-images", "same-position", "same-image")  # the rules of infonce.NEGATIVES that the script can draw
SMALLEST, LARGEST = 2, 6  # images: negatives from other images need two; six make 1 MB of state
PAPER = ModelConfig().temperature


class Contrast(NamedTuple):
    """The loss of one query patch, compared with the keys of n images of h x w patches."""

    logits: np.ndarray  # (n, h, w) float64, q k / tau; nan where a key is left out
    probabilities: np.ndarray  # (n, h, w) float64, softmax of the logits; nan at the same keys
    loss: float  # of this patch, nats
    probability: float  # of the positive
    rank: int  # of the positive, 1 if no negative has a higher logit
    candidates: int  # the positive and its negatives
    hardest: tuple[int, int, int]  # image, row and column of the negative with the highest logit, counted from 0
    mean_loss: float  # over all patches of the batch, from infonce_dense (equation 3)
    hits: float  # share of the patches of the batch whose positive has rank 1


def contrast(
    queries: Tensor, keys: Tensor, image: int, patch: int, temperature: float = PAPER, negatives: str = "batch"
) -> Contrast:
    """The logits of one query patch, its loss, and the mean loss of :func:`clicv2lite.method.infonce.infonce_dense`.

    Args:
        queries, keys: (n, G, d) float, unit length, all patches of a square grid in order.
        image, patch: image and patch of the query, counted from 0; patches row by row.
        temperature: tau, above 0.
        negatives: see :data:`clicv2lite.method.infonce.NEGATIVES`.
    """
    n, g, _ = queries.shape
    q, k = queries.double(), keys.double()
    images, places = torch.arange(n).repeat_interleave(g), torch.arange(g).repeat(n)
    out = excluded(images, places, images, places, negatives)
    logits = (q.flatten(0, 1) @ k.flatten(0, 1).T / temperature).masked_fill(out, -torch.inf)
    chosen = image * g + patch
    row, positive = logits[chosen], logits[chosen, chosen]
    hardest = int(row.index_fill(0, torch.tensor(chosen), -torch.inf).argmax())
    loss = float(row.logsumexp(0) - positive)
    grid = (n, int(g**0.5), int(g**0.5))
    return Contrast(
        logits=row.masked_fill(out[chosen], torch.nan).reshape(grid).numpy(),
        probabilities=row.softmax(0).masked_fill(out[chosen], torch.nan).reshape(grid).numpy(),
        loss=loss,
        probability=float(np.exp(-loss)),
        rank=1 + int((row > positive).sum()),
        candidates=int((~out[chosen]).sum()),
        hardest=tuple(int(i) for i in np.unravel_index(hardest, grid)),  # type: ignore[arg-type]
        mean_loss=float(infonce_dense(q, k, torch.arange(g).expand(n, g), temperature, negatives)),
        hits=float((logits.amax(1) == logits.diagonal()).double().mean()),
    )


@torch.no_grad()
def two_views(squares: Sequence[np.ndarray], model: CLICv2, config: ViewConfig, seed: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Both views of each image, unmasked, and their features. The base crop is the whole image.

    Args:
        squares: n images (S, S, 3) uint8; S is the model's input size.
        model: its query and key encoders are used in evaluation mode.
        config: must have the model's size and patch.
        seed: seed of :func:`clicv2lite.widgets.draws.uniforms`. The first image has the same views as in
            ``patchify.view_pair``.

    Returns:
        The views as pictures, (2, n, S, S, 3) uint8, and queries and keys, (n, G, project) float32 of unit length.
    """
    grid, n = config.grid, len(squares)
    g = grid[0] * grid[1]
    noise = uniforms(seed, n * g * 2 * PATCH_DRAWS).reshape(n, g, 2, PATCH_DRAWS).unbind(2)
    clean = patchify(torch.cat([as_batch(image) for image in squares]), config.patch)
    query, key = (one_view(clean, own, config) for own in noise)
    color = denormalize(torch.stack([unpatchify(view, grid) for view in (query, key)])).movedim(2, -1)  # (2, n, S, S, 3)
    every = torch.arange(g).expand(n, g)
    views = Views(query.float(), key.float(), every, every[:, :0], torch.empty(n, 0, 1))
    was_training = model.training
    model.eval()
    queries, keys = model.query_head(encode_visible(model.query, views.query, every)), model.encode_keys(views)
    model.train(was_training)
    return (color * 255).round().clamp(0, 255).to(torch.uint8).numpy(), queries, keys


class SimilarityExplorer(Widget):
    """Choose a patch of a query view. See the logit of every key of the batch, the loss, and which keys are confused with it.

    ``image`` and ``patch`` (both counted from 0), ``temperature``, ``negatives``, ``show``, ``beneath`` and ``grid`` have the
    same values in Python and in every view of the widget. A new ``seed`` makes new views; this needs Python.

    Args:
        images: 2 to 6 pictures (H, W, 3) uint8, or name -> picture. Their central squares are shown at the model's size.
        model: a CLICv2; 128 px, patches of 16 px and 128 features keep the page small.
        views: colours, blur, mirror and shift of the views. Default: the paper's. Size and patch are the model's.
        seed: seed of the views.
        image, patch: the query that is shown first.
        temperature: 0.05 to 1.
        negatives: ``batch``, ``other-images``, ``same-position`` or ``same-image``.
        show: ``logits`` or ``probabilities``.
        beneath: show the pictures of the keys under the map.
        grid: lines between the patches.

    Raises:
        UserError: if there are too few or too many images, or something is not a picture.
        traitlets.TraitError: if the value of a setting cannot be drawn.
    """

    settings = ("seed", "image", "patch", "temperature", "negatives", "show", "beneath", "grid")
    _esm = front_end("similarity")
    _css = style_sheet("similarity")

    pixels = t.Bytes(read_only=True).tag(sync=True)  # (2, n, S, S, 3) uint8: query views, key views
    query_features = t.Bytes(read_only=True).tag(sync=True)  # (n, G, d) float32, little endian
    key_features = t.Bytes(read_only=True).tag(sync=True)
    image = t.Int(0, help="the query's image, counted from 0").tag(sync=True)
    patch = t.Int(0, help="the query's patch, counted from 0, row by row").tag(sync=True)
    temperature = t.Float(PAPER, min=0.05, max=1, help="tau").tag(sync=True)
    negatives = t.Enum[str](DRAWN, "batch", help="which keys may be negatives").tag(sync=True)
    show = t.Enum(("logits", "probabilities"), "logits", help="what the map shows").tag(sync=True)
    beneath = t.Bool(True, help="the keys' pictures shine through the map").tag(sync=True)
    grid = t.Bool(True, help="show the borders of the patches").tag(sync=True)
    seed = t.Int(0, min=0, max=2**32 - 1, help="of the views; drawn by Python")

    def __init__(
        self,
        images: Sequence[np.ndarray] | Mapping[str, np.ndarray],
        model: CLICv2,
        *,
        views: ViewConfig | None = None,
        seed: int = 0,
        image: int = 0,
        patch: int = 0,
        temperature: float = PAPER,
        negatives: str = "batch",
        show: str = "logits",
        beneath: bool = True,
        grid: bool = True,
    ) -> None:
        if not SMALLEST <= len(images) <= LARGEST:
            raise UserError(f"images: a batch of {SMALLEST} to {LARGEST} is needed, got {len(images)}; add or leave out some")
        if not isinstance(images, Mapping):
            images = {f"image {i}": picture for i, picture in enumerate(images, 1)}
        size = model.config.encoder
        self._model = model
        self._config = replace(views or ViewConfig(), size=size.size, patch=size.patch)
        self._squares = [square(picture, size.size) for picture in images.values()]
        self._constants = {
            "side": size.size, "patch": size.patch, "names": [str(name) for name in images], "dim": size.project,
            "negatives": list(DRAWN), "paper": PAPER,
        }  # fmt: skip
        self._drawn, self._drawn_seed = self._draw(seed), seed
        super().__init__(
            seed=seed, image=image, patch=patch, temperature=temperature, negatives=negatives, show=show, beneath=beneath,
            grid=grid,
        )  # fmt: skip

    def _draw(self, seed: int) -> dict[str, bytes]:
        pictures, *features = two_views(self._squares, self._model, self._config, seed)
        query, key = (feature.numpy().astype("<f4").tobytes() for feature in features)
        return {"pixels": pictures.tobytes(), "query_features": query, "key_features": key}

    @t.default("pixels")
    def _default_pixels(self) -> bytes:
        return self._drawn["pixels"]

    @t.default("query_features")
    def _default_query_features(self) -> bytes:
        return self._drawn["query_features"]

    @t.default("key_features")
    def _default_key_features(self) -> bytes:
        return self._drawn["key_features"]

    @t.observe("seed")
    def _new_views(self, change: dict[str, Any]) -> None:
        if change["new"] != self._drawn_seed:
            self._drawn_seed = change["new"]
            with self.hold_sync():
                for name, value in self._draw(change["new"]).items():
                    self.set_trait(name, value)

    @t.validate("image", "patch")
    def _inside(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        count = len(self._squares) if name == "image" else self._config.grid[0] * self._config.grid[1]
        if not 0 <= value < count:
            raise t.TraitError(f"the '{name}' trait counts from 0 to {count - 1}, got {value}")
        return int(value)

    @property
    def features(self) -> tuple[Tensor, Tensor]:
        """Queries and keys of the batch, (n, G, d) float32 of unit length."""
        n, g = len(self._squares), self._config.grid[0] * self._config.grid[1]
        query, key = (np.frombuffer(data, "<f4").reshape(n, g, -1) for data in (self.query_features, self.key_features))
        return torch.from_numpy(query.copy()), torch.from_numpy(key.copy())

    def result(self) -> Contrast:
        """What is drawn now, computed by the package's own loss."""
        return contrast(*self.features, self.image, self.patch, self.temperature, self.negatives)
