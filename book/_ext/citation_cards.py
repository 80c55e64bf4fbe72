"""Sphinx extension: a citation shows its reference in a card when a reader points at it or reaches it with the keyboard.

sphinxcontrib-bibtex writes the text of the reference into the link's title, so a page carries what its cards say;
``static/citations/cards.js`` shows them.
"""

import re
from typing import Any

from sphinx.application import Sphinx

CITATION = re.compile(r'<a\b[^>]* href="[^"]*references\.html#[^"]*" title="')


def _add_cards(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if CITATION.search(context.get("body", "")):
        app.add_js_file("citations/cards.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _add_cards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
