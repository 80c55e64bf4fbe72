"""Models on the Hugging Face Hub: `ComplexityModel.from_pretrained(...)` and `.push_to_hub(...)` (book chapter 12).

Both come from huggingface_hub's mixin. They store a model folder, which `clicv2lite score --model` can read, too.
"""

import json
from pathlib import Path
from typing import Any

from clicv2lite.encoders.weight_files import BESIDE, WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.files import write_bytes, write_json
from clicv2lite.models.by_name import SHIPPED
from clicv2lite.models.head_file import HEAD_FILE, read_head
from clicv2lite.models.model import Model, load_model, save_model
from clicv2lite.models.norms import NORMS_FILE, fingerprint

with extra("hub"):
    from huggingface_hub import EvalResult, ModelCardData, ModelHubMixin, snapshot_download

TASK = "image-feature-extraction"  # the Hub has no task of its own for a rating
CARD = """---
{about}
---
# How complex does a picture look? A model for clicv2lite

```python
from clicv2lite.models.hub import ComplexityModel

model = ComplexityModel.from_pretrained("...")  # this repository, or a folder with its files
model.score(["photo.jpg"])  # 0..1
```
"""


class ComplexityModel(Model, ModelHubMixin):
    """A :class:`clicv2lite.models.model.Model` that can be saved to, and loaded from, a folder or the Hub.

    `ComplexityModel.of(clicv2lite.load()).push_to_hub("me/complexity")` uploads a model; `save_pretrained(folder)` writes the
    same files. `ComplexityModel.from_pretrained` takes a folder (this works offline), or the name of a repository.
    """

    @classmethod
    def of(cls, model: Model) -> "ComplexityModel":
        """A Hub model with the same encoder and head."""
        return cls(model.encoder, model.head, model.norms)

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(save_directory, self, self.encoder.name)
        shape = vars(self.encoder.config.encoder)
        write_json(save_directory / "config.json", {"library": "clicv2lite", "kind": self.head.kind, "shape": shape})
        source = self._source()
        if self.norms and source and (source / NORMS_FILE).is_file():
            write_bytes(save_directory / NORMS_FILE, (source / NORMS_FILE).read_bytes())
        written = source / "model_card.md" if source else None
        about = written.read_text(encoding="utf-8") if written and written.is_file() else ""
        write_bytes(save_directory / "README.md", f"{CARD.format(about=self._about(source))}\n{about}".encode())

    def _source(self) -> Path | None:
        """The folder that the encoder is from, if this head is the one in it: what else it holds is of that head."""
        folder = SHIPPED.get(self.encoder.name, Path(self.encoder.name).parent)
        try:
            return folder if fingerprint(read_head(folder)) == fingerprint(self.head) else None
        except UserError:  # there is none, or not of this encoder
            return None

    def _about(self, source: Path | None) -> str:
        """The Hub's fields, with the agreement that `probe` measured when its report lies beside the model."""
        results = None
        if source and (source / "probe.json").is_file():
            found = json.loads((source / "probe.json").read_text(encoding="utf-8"))
            text = f"{found['n']} ratings, {found['evaluation']}"
            metrics = {"pearsonr": "mean PCC over categories", "spearmanr": "SRCC, pooled"}
            values = {"pearsonr": found["mean_pcc"], "spearmanr": found["srcc"]}
            results = [
                EvalResult(TASK, "ratings", text, kind, value, metric_name=metrics[kind], task_name="image complexity")
                for kind, value in values.items()
                if value is not None
            ]
        return ModelCardData(
            library_name="clicv2lite",
            license="mit",
            pipeline_tag=TASK,
            tags=["image-complexity"],
            datasets=["savoias"] if source in SHIPPED.values() else None,
            model_name="clicv2lite" if results else None,
            eval_results=results,
        ).to_yaml()

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        device: str = "auto",
        **_: Any,
    ) -> "ComplexityModel":
        folder = model_id
        if not Path(model_id).is_dir():
            folder = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=[HEAD_FILE, WEIGHTS, BESIDE.format("*"), NORMS_FILE],
            )
        return cls.of(load_model(folder, device))
