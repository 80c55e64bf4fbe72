"""Sphinx extension: pages that a screen reader can follow where docutils' HTML is not what WAI-ARIA allows."""

from typing import Any

from sphinx.application import Sphinx

CITATION = 'role="doc-biblioentry"'  # withdrawn from DPUB-ARIA: a list has list items


def _list_items(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if CITATION in context.get("body", ""):
        context["body"] = context["body"].replace(CITATION, 'role="listitem"')


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _list_items)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
