"""Sphinx extension: built pages need no network and no kernel, and cells run again when the package changes.

Three things that Jupyter Book 1 does not do by itself:

- MathJax and its fonts are copied from the wheel of sphinx-mathjax-offline instead of a content delivery network.
- Widgets are drawn by ``static/offline/anywidget-host.js`` from the state stored in the page.
- The cache of executed notebooks is keyed by the notebook's code only; here its folder carries a hash of everything else
  that a cell's output depends on, and a new folder makes Sphinx read every chapter again.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts", "a11y", "sre")  # with what its accessibility menu loads on demand
EXECUTED = ("clicv2lite", "data", "requirements.lock")  # what a cell's output depends on, beside its own code


def _files(top: Path) -> Iterator[Path]:
    """Every file under a folder in a fixed order, byte code and editors' leavings apart; a file is itself."""
    if top.is_file():
        yield top
    for path in sorted(top.rglob("*")):
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in path.relative_to(top).parts):
            yield path


def execution_key(root: Path = ROOT) -> str:
    """Twelve hex digits that change with the package, its data, the lock, Python's version or the extra data folder."""
    digest = hashlib.sha256()
    for path in (p for name in EXECUTED for p in _files(root / name)):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    digest.update(f"{platform.python_version()}\0{os.environ.get('CLICV2LITE_DATA', '')}".encode())
    return digest.hexdigest()[:12]


def _key_cache(app: Sphinx, config: Config) -> None:
    cache = Path(app.outdir).parent / ".jupyter_cache"
    config.nb_execution_cache_path = str(cache / execution_key())
    # a few states of the package stay cached, so that going back to one is quick; older ones are dropped
    for old in sorted(cache.glob("*"), key=lambda p: p.stat().st_mtime, reverse=True)[4:]:
        shutil.rmtree(old, ignore_errors=True)


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
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("config-inited", _key_cache)
    app.connect("builder-inited", _add_static)
    app.connect("build-finished", _copy_mathjax)
    app.config.mathjax_path = f"mathjax/{MATHJAX[0]}"
    app.config.nb_ipywidgets_js = {"offline/anywidget-host.js": {}}
    return {"parallel_read_safe": True, "parallel_write_safe": True}
