"""One training step of CLICv2 from station to station, on the tensors of a real batch (CLICv2, figure 4; book chapter 6)."""

from html import escape
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.method.clicv2 import CLICv2, LossConfig
from clicv2lite.method.masking import put
from clicv2lite.method.patches import unpatchify
from clicv2lite.method.pixels import denormalize
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.widgets.explorer import Widget, front_end, style_sheet
from clicv2lite.widgets.step_drawings import bars, cells, diagram, heat, photo
from clicv2lite.widgets.step_tensors import StepTensors, training_step

with extra("notebooks"):
    import traitlets as t


class Station(NamedTuple):
    """A stop on the way through a training step."""

    title: str
    sentence: str
    symbol: str  # as in the equations
    shape: str
    picture: str  # SVG
    parts: tuple[str, ...]  # of the plan: `data-part` in step_drawings.diagram()


def stations(step: StepTensors, model: LossConfig) -> list[Station]:
    """The eleven stations of a step, from the crop to the update."""
    n = step.shape
    side, cut = n["S"] // n["p"], f"3 × {n['p']} × {n['p']}"

    def view(patches: Tensor, label: str, only: bool = False) -> str:
        shown = denormalize(patches)
        if only:
            shown = put(shown[step.visible][None].flatten(2), step.visible[None], torch.full((3 * n["p"] ** 2,), 0.5), n["G"])
            shown = shown.reshape(n["G"], 3, n["p"], n["p"])
        return photo(unpatchify(shown[None], (side, side))[0], label)

    maps = {"target": step.target.view(side, side), "prediction": step.predicted.view(side, side)}
    weighted = model.auxiliary_weight * step.reconstruction
    losses = {"L_PwIN (nats)": step.contrast, "λ L_rec (λ × bits²)": weighted, "L": step.total}
    return [
        Station(
            "Crop",
            "One crop of the photograph, mirrored or not, is shared by both views.",
            "x",
            f"3 × {n['S']} × {n['S']}",
            photo(step.crop, "The crop of the photograph"),
            ("crop",),
        ),
        Station(
            "Patches",
            "A grid cuts the crop into squares; from here on each one is treated alone.",
            "G patches (eq. 6)",
            f"{n['G']} × {cut}",
            photo(step.crop, "The crop under a grid", side),
            ("patches",),
        ),
        Station(
            "Augment",
            "Each patch gets its own colours and blur, drawn anew for each of the two views.",
            "query view",
            f"{n['G']} × {cut}",
            view(step.augmented, "Every patch has other colours"),
            ("query-view", "key-view"),
        ),
        Station(
            "Shift",
            "The content of each patch moves inside its cell in one of eight directions, and the mean colour fills in.",
            "shifted patchify (fig. 3)",
            f"{n['G']} × {cut}",
            view(step.shifted, "Gray strips where the content has moved away"),
            ("query-view", "key-view"),
        ),
        Station(
            "Mask",
            f"{n['M']} of {n['G']} patches are dropped, the same ones in both views.",
            "G′ visible patches (eq. 7)",
            f"{n['V']} × {cut}",
            view(step.shifted, "Most patches are gray: they are dropped", True),
            ("mask",),
        ),
        Station(
            "Tokens",
            "The query encoder turns each visible patch, with the vector of its place, into a token.",
            "tokens, one row each",
            f"{n['V']} × {n['D']}",
            heat(step.tokens, "The tokens of the visible patches"),
            ("query",),
        ),
        Station(
            "Keys",
            "The key encoder does the same for the other view; no gradient comes here, it only follows the query encoder.",
            "k, one row each",
            f"{n['V']} × {n['d']}",
            heat(step.keys, "The keys of the visible patches"),
            ("key", "key-head", "momentum"),
        ),
        Station(
            "Logits",
            "Each query is compared with the keys of all patches of the batch; its own key lies on the bright diagonal.",
            f"q·k / τ, τ = {model.temperature:g} (eq. 2)",
            f"{n['V']} × {n['N']}, of {n['N']} × {n['N']}",
            heat(step.logits, "Queries of the first image against all keys"),
            ("query-head", "logits"),
        ),
        Station(
            "Decoder",
            "From the tokens of the visible patches, a small decoder predicts the entropy of the dropped ones (gray: seen).",
            "entropy in bits (eq. 11)",
            f"{n['M']} × 1",
            cells(maps, float(step.target.nan_to_num().max()), "Entropy of the dropped patches, and what the decoder predicts"),
            ("decoder",),
        ),
        Station(
            "Losses",
            f"Both losses of the batch add up, the second one with λ = {model.auxiliary_weight:g}.",
            "L = L_PwIN + λ L_rec (eq. 12)",
            f"{step.total:.3f} = {step.contrast:.3f} + {model.auxiliary_weight:g} × {step.reconstruction:.3f}",
            bars(losses, ".3f", "The two losses and their sum"),
            ("rec", "contrast", "total"),
        ),
        Station(
            "Update",
            "The gradient moves query encoder, query head and decoder; the key side moves a little towards its twin.",
            "θ_k ← m θ_k + (1 − m) θ_q",
            f"m = {model.momentum:g}; L of this batch: {step.total:.3f} → {step.next_total:.3f}",
            bars(step.moved, ".1e", "Length of each part's move, relative to its weights"),
            ("query", "query-head", "decoder", "key", "key-head", "gradient", "momentum"),
        ),
    ]


class TrainingStep(Widget):
    """Back and Next, or the arrow keys, lead through one training step; a plan beside it marks where we are.

    Args:
        images: (B, 3, H, W) uint8, at least as large as the recipe's crop, two or more. The first one is shown.
        model: a pretrained model; it stays as it is.
        recipe: the one that it was pretrained with.
        seed: of the crop, the mask and the views.
        station: the one that is shown first, counted from 0.

    Raises:
        UserError: if the model has no decoder, or the images are not a batch.
        traitlets.TraitError: if there is no such station.
    """

    settings = ("station",)
    _esm = front_end("training_step")
    _css = style_sheet("training_step")

    stations: t.List[Any] = t.List(read_only=True).tag(sync=True)  # Station as dicts
    diagram = t.Unicode(read_only=True).tag(sync=True)  # SVG
    station = t.Int(0, help="the station that is shown, counted from 0").tag(sync=True)

    def __init__(self, images: Tensor, model: CLICv2, recipe: Recipe, *, seed: int = 0, station: int = 0) -> None:
        if images.ndim != 4 or len(images) < 2 or images.shape[1] != 3 or images.dtype != torch.uint8:
            raise UserError(f"images: expected two or more as (B, 3, H, W) uint8, got {images.dtype} {tuple(images.shape)}")
        if model.config.target_size != 1 or model.config.compare != "patch":
            raise UserError("model: has no decoder of entropy, or compares whole images; take one of method clicv2")
        self._step = training_step(images, model, recipe, seed)
        self._stations = [each._asdict() for each in stations(self._step, model.config)]
        super().__init__(station=station)

    @t.default("stations")
    def _default_stations(self) -> list[dict[str, Any]]:
        return self._stations

    @t.default("diagram")
    def _default_diagram(self) -> str:
        return diagram(self._step.shape)

    @t.validate("station")
    def _inside(self, proposal: dict[str, Any]) -> int:
        if not 0 <= proposal["value"] < len(self._stations):
            raise t.TraitError(f"the 'station' trait counts from 0 to {len(self._stations) - 1}, got {proposal['value']}")
        return int(proposal["value"])

    def result(self) -> StepTensors:
        """The tensors and losses that are drawn."""
        return self._step

    def listing(self) -> str:
        """The stations as a list, for a page whose reader has switched scripts off: HTML inside ``noscript``."""
        items = "".join(
            f"<li><strong>{escape(it['title'])}.</strong> {escape(it['sentence'])} "
            f"{escape(it['symbol'])}: {escape(it['shape'])}.</li>"
            for it in self._stations
        )
        return f"<noscript><ol>{items}</ol></noscript>"
