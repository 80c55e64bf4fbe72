"""Sphinx extension: a page's widgets and their pictures are a file of their own, loaded when a reader comes near the first.

myst-nb writes the state of all widgets of a page into its head, up to a megabyte of pixels. ``anywidget-host.js`` reads it from
``_static/widgets`` instead: from a script, since a page on the disk may load no other kind of file.
"""

import hashlib
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

STATE = "application/vnd.jupyter.widget-state+json"


def _take_out(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    for script in context["script_files"]:
        if getattr(script, "attributes", {}).get("type") != STATE or not script.attributes.get("body"):
            continue
        name, text = f"_static/widgets/{page}.js", f"globalThis.anywidgetState = {script.attributes['body']};\n"
        path = Path(app.outdir, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]  # a browser may hold the file of an older page
        context["script_files"].remove(script)
        source: dict[str, Any] = {"data-src": f"{context['pathto'](name, 1)}?v={digest}"}
        app.add_js_file(None, type=STATE, **source)
        return


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _take_out, priority=600)  # after myst-nb has written it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
