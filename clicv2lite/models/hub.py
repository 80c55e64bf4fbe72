"""Models on the Hugging Face Hub: `ComplexityModel.from_pretrained(...)` and `.push_to_hub(...)` (book chapter 12).

Both come from huggingface_hub's mixin. They store a model folder, which `clicv2lite score --model` can read, too.
"""

from pathlib import Path
from typing import Any

from clicv2lite.encoders.frozen import WEIGHTS
from clicv2lite.extras import extra
from clicv2lite.files import write_bytes, write_json
from clicv2lite.models.model import HEAD_FILE, Model, load_model, save_model
from clicv2lite.models.norms import NORMS_FILE

with extra("hub"):
    from huggingface_hub import ModelHubMixin, snapshot_download

CARD = """---
library_name: clicv2lite
license: mit
tags:
- image-complexity
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
        norms = Path(self.encoder.name).with_name(NORMS_FILE)
        if self.norms and norms.is_file():
            write_bytes(save_directory / NORMS_FILE, norms.read_bytes())
        written = Path(self.encoder.name).with_name("model_card.md")
        about = written.read_text(encoding="utf-8") if written.is_file() else ""
        write_bytes(save_directory / "README.md", f"{CARD}\n{about}".encode())

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
                allow_patterns=[HEAD_FILE, WEIGHTS, NORMS_FILE],
            )
        return cls.of(load_model(folder, device))
