"""Sphinx extension: what a search engine or a chat shows of a page: its title and its first sentences."""

import html
from textwrap import shorten
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LENGTH = 200  # about what is shown
LEFT_OUT = (nodes.math, nodes.raw, nodes.image, nodes.comment)


def description(doctree: nodes.document) -> str:
    """The first paragraph of some length, without mathematics; empty if there is none."""
    for paragraph in doctree.findall(nodes.paragraph):
        plain = paragraph.deepcopy()
        for node in list(plain.findall(lambda node: isinstance(node, LEFT_OUT))):
            node.parent.remove(node)
        text = " ".join(plain.astext().split())
        if len(text) >= 60:
            return shorten(text, LENGTH, placeholder=" …")
    return ""


def _describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if doctree is None:  # the index, the search
        return
    said = {"og:type": "article", "og:site_name": app.config.html_title, "og:title": title(doctree)}
    if text := description(doctree):
        context["metatags"] += f'\n<meta name="description" content="{html.escape(text)}" />'
        said["og:description"] = text
    for name, value in said.items():
        if value:
            context["metatags"] += f'\n<meta property="{name}" content="{html.escape(value)}" />'


def title(doctree: nodes.document) -> str:
    """The title of a page as text."""
    found = next(doctree.findall(nodes.title), None)
    return found.astext() if found else ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
