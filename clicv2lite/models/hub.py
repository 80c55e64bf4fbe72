"""Models on the Hugging Face Hub: `ComplexityModel.from_pretrained(...)` and `.push_to_hub(...)` (book chapter 12).

Both come from huggingface_hub's mixin. They store a model folder, which `clicv2lite score --model` can read, too.
"""

from pathlib import Path
from typing import Any

from clicv2lite.encoders.weight_files import BESIDE, WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.files import write_bytes, write_json
from clicv2lite.json_object import read_object
from clicv2lite.models.by_name import SHIPPED
from clicv2lite.models.head_file import HEAD_FILE, read_head
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.norms import NORMS_FILE, fingerprint, own_norms

with extra("hub"):
    from huggingface_hub import EvalResult, ModelCardData, ModelHubMixin, snapshot_download

FIGURES, MODEL_CARD = "probe.json", "model_card.md"  # of a model, if they lie beside it
TASK = "image-feature-extraction"  # the Hub has no task of its own for a rating
CARD = """---
{about}
---
# How complex does a picture look? A model for clicv2lite

```python
from clicv2lite import ComplexityModel

model = ComplexityModel.from_pretrained("...")  # this repository, or a folder with its files
model.score(["photo.jpg"])  # 0..1
```
"""


class ComplexityModel(Model, ModelHubMixin):
    """A :class:`clicv2lite.models.model.Model` that can be saved to, and loaded from, a folder or the Hub.

    `ComplexityModel.of(clicv2lite.load()).push_to_hub("me/complexity")` uploads a model; `save_pretrained(folder)` writes the
    same files, and with them the card and the figures of the model. This is `clicv2lite.ComplexityModel`.
    """

    @classmethod
    def of(cls, model: Model) -> "ComplexityModel":
        """A Hub model with the same encoder and head."""
        return cls(model.encoder, model.head, model.norms)

    def _save_pretrained(self, save_directory: Path) -> None:
        beside = self._beside()
        for name, data in beside.items():
            write_bytes(save_directory / name, data)
        self.save(save_directory)
        shape = vars(self.encoder.config.encoder)
        write_json(save_directory / "config.json", {"library": "clicv2lite", "kind": self.head.kind, "shape": shape})
        results = _results(_figures(save_directory / FIGURES)) if FIGURES in beside else None
        shipped = fingerprint(self.head) in {fingerprint(read_head(folder)) for folder in SHIPPED.values()}
        about = ModelCardData(
            library_name="clicv2lite",
            license="mit",
            pipeline_tag=TASK,
            tags=["image-complexity"],
            datasets=["savoias"] if shipped else None,
            model_name="clicv2lite" if results else None,
            eval_results=results,
        )
        readme = f"{CARD.format(about=about.to_yaml())}\n".encode() + beside.get(MODEL_CARD, b"")
        write_bytes(save_directory / "README.md", readme)

    def _beside(self) -> dict[str, bytes]:
        """What lies beside the model in the folder that it is from and is of this head; a head may have been fitted again."""
        folder = SHIPPED.get(self.encoder.name, Path(self.encoder.name).parent)
        try:
            if (head := fingerprint(read_head(folder))) != fingerprint(self.head):
                return {}
            norms = own_norms(folder, self.head)
        except UserError:  # there is none, or not of this encoder
            return {}
        figures = _figures(folder / FIGURES)
        # figures of an earlier clicv2lite do not say which head they are of; norms do, which lie beside those of a release
        measured = figures.get("head_digest", norms and norms.head) == head
        kept = (*((FIGURES, MODEL_CARD) if measured else ()), *((NORMS_FILE,) if norms and self.norms else ()))
        return {name: (folder / name).read_bytes() for name in kept if (folder / name).is_file()}

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin takes any word, and so any misspelt one
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        device: str = "auto",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> "ComplexityModel":
        """Load a model: "default", "plus" or "lite", a folder, or else a repository of the Hub.

        Args:
            device: where it computes, as for :func:`clicv2lite.models.model.load_model`.
            revision, cache_dir, force_download, local_files_only, token: as for ``huggingface_hub.snapshot_download``.

        Raises:
            UserError: as `load_model`; and errors of huggingface_hub, if it cannot be downloaded.
        """
        folder, name = pretrained_model_name_or_path, str(pretrained_model_name_or_path)
        if name not in SHIPPED and not Path(name).is_dir():
            folder = snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=["config.json", HEAD_FILE, WEIGHTS, BESIDE.format("*"), NORMS_FILE, FIGURES, MODEL_CARD],
            )
        return cls.of(load_model(folder, device))


def _figures(path: Path) -> dict[str, Any]:
    """What `probe` measured of a head; nothing if there is no such file."""
    if not path.is_file():
        return {}
    try:
        figures = read_object(path.read_bytes())
        if lacking := {"n", "evaluation", "mean_pcc", "srcc"} - figures.keys():
            raise ValueError(f"no {min(lacking)!r} in it")
    except ValueError as error:
        raise UserError(f"{path}: not the figures of a head ({error}); take it away, or make it again") from None
    return figures


def _results(found: dict[str, Any]) -> list[EvalResult]:
    """The agreement with people that `probe` measured, for the Hub."""
    text = f"{found['n']} ratings, {found['evaluation']}"
    values = {"pearsonr": ("mean PCC over categories", found["mean_pcc"]), "spearmanr": ("SRCC, pooled", found["srcc"])}
    return [
        EvalResult(TASK, "ratings", text, kind, value, metric_name=metric, task_name="image complexity")
        for kind, (metric, value) in values.items()
        if value is not None
    ]
