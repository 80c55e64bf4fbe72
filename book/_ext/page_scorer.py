"""Sphinx extension: ``{scorer}``, a box in which a reader scores a photograph of their own with the package's model.

The form is ``static/scorer/scorer.js``; the model is ``encoder.js``, ``flags.js`` and the weights of the package, written
together into ``_static/scorer/model.js``. A page loads that file only when its reader has a picture to score.
The directive's text is what a reader without JavaScript, or in a notebook, sees in its place.
"""

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from clicv2lite.data import flags
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_image
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.weight_files import encoder_files
from clicv2lite.models.by_name import DEFAULT
from clicv2lite.models.head_file import HEAD_FILE
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.norms import NORMS_FILE

HERE = Path(__file__).parent / "static" / "scorer"
ENGINE = (HERE / "flags.js", HERE / "encoder.js")


class Box(nodes.container):
    """Where scorer.js puts the form."""


class Scorer(SphinxDirective):
    """``{scorer}``"""

    has_content = True

    def run(self) -> list[nodes.Node]:
        for file in (*ENGINE, flags.__file__, *encoder_files(DEFAULT), DEFAULT / HEAD_FILE, DEFAULT / NORMS_FILE):
            self.env.note_dependency(str(file))
        box = Box(classes=["scorer"])
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


def check_readable(model: Model) -> None:
    """Raise ExtensionError if encoder.js does not know this kind of model."""
    missing = [] if model.head.kind == "ridge" else ["a ridge head"]
    if missing := missing + [what for encoder in model.encoder.parts for what in _missing(encoder)]:
        raise ExtensionError(f"encoder.js reads only models with {', '.join(missing)}; extend it for this model")


def _missing(encoder: FrozenEncoder) -> list[str]:
    """What encoder.js relies on, and this encoder lacks."""
    shape, pool = encoder.config.encoder, encoder.config.pool
    known = {
        "linear or conv-pool patches": shape.patch_embed in ("linear", "conv-pool") and not shape.class_token,
        "likeness or nearest": pool.read in ("likeness", "nearest") and pool.statistics == ("mean", "std"),
        "blocks counted from 0, in order": list(pool.blocks) == sorted({block % shape.depth for block in pool.blocks}),
        "one halving": pool.halvings == 1,
        "an even number of patches, halved": pool.size % (4 * shape.patch) == 0,  # for tiles of 4 x 4 numbers
        "widths of whole tiles": shape.width // shape.heads % 4 == 0,
    }
    return [what for what, there in known.items() if not there]


def model_script(folder: Path) -> str:
    """The script model.js: the text of the engine, a model, its norms, the thresholds of the flags and an example picture."""
    example = io.BytesIO()
    read_image(photographs()["coffee"]).save(example, "JPEG", quality=90)
    files = {"head": (folder / HEAD_FILE).read_bytes(), "example": example.getvalue()}
    parts: dict[str, Any] = {name: base64.b64encode(data).decode() for name, data in files.items()}
    parts["encoders"] = [base64.b64encode(path.read_bytes()).decode() for path in encoder_files(folder)]
    norms = json.loads((folder / NORMS_FILE).read_text(encoding="utf-8"))
    parts["norms"] = {key: norms[key] for key in ("reference", "n", "quantiles")}
    parts["norms"] |= {key: norms["interval"][key] for key in ("edges", "half")}
    parts["thresholds"] = {name: value for name, value in vars(flags).items() if name.isupper()}
    parts["engine"] = "\n".join(path.read_text(encoding="utf-8") for path in ENGINE)
    return f"globalThis.clicv2liteModel = {json.dumps(parts)};\n"


def _add_files(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if doctree is None or not next(doctree.findall(Box), None):
        return
    app.add_css_file("scorer/scorer.css")
    app.add_js_file("scorer/scorer.js", loading_method="defer")
    _write_model(Path(app.outdir) / "_static" / "scorer" / "model.js")


@cache  # two pages have the box
def _write_model(path: Path) -> None:
    check_readable(load_model("default", "cpu"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(model_script(DEFAULT), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_node(Box, html=(lambda self, node: self.visit_container(node), lambda self, node: self.depart_container(node)))
    app.add_directive("scorer", Scorer)
    app.connect("html-page-context", _add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
