"""Sphinx extension: built pages need no network and no kernel.

Two things that Jupyter Book 1 does not do by itself:

- MathJax and its fonts are copied from the wheel of sphinx-mathjax-offline instead of a content delivery network: the parts
  that turn TeX into text, and MathML for screen readers. Its menu is as large as these and loads a megabyte more.
- Widgets are drawn by ``static/offline/anywidget-host.js`` from the state stored in the page.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

HERE = Path(__file__).parent
PARTS = ("input/tex", "output/chtml", "a11y/assistive-mml")  # what startup.js loads after core.js
MATHJAX = ("startup.js", "core.js", *(f"{part}.js" for part in PARTS), "input/tex/extensions", "output/chtml/fonts")


def _add_static(app: Sphinx) -> None:
    # here and not in _config.yml: Jupyter Book would load every .js that it finds there on every page
    app.config.html_static_path.append(str(HERE / "static"))


def _copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    spec = importlib.util.find_spec("sphinx-mathjax-offline")  # hyphens: not importable by statement
    assert spec and spec.origin
    source, target = Path(spec.origin).parent / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    for name in MATHJAX:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", _add_static)
    app.connect("build-finished", _copy_mathjax)
    app.config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    app.config.mathjax3_config = {"loader": {"load": list(PARTS)}}
    app.config.nb_ipywidgets_js = {"offline/anywidget-host.js": {}}
    return {"parallel_read_safe": True, "parallel_write_safe": True}
