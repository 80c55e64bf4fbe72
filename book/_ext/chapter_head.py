"""Sphinx extension: a chapter's first paragraph (**You will** ... **Time:** ...) becomes a card with a row for each part."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

FIRST = "You will"
PARTS = (FIRST, "Before this", "Time", "Module", "Modules")


def card(paragraph: nodes.paragraph) -> nodes.definition_list:
    """A list of terms, one for each bold part of the paragraph, each with what follows it."""
    rows: list[tuple[str, nodes.paragraph]] = []
    for node in paragraph.children:
        name = node.astext().rstrip(":")
        if isinstance(node, nodes.strong) and name in PARTS:
            rows.append((name, nodes.paragraph()))
        elif rows:
            rows[-1][1].append(node.deepcopy())
    found = nodes.definition_list(classes=["chapter-head"])
    for name, text in rows:
        found += nodes.definition_list_item("", nodes.term("", name), nodes.definition("", text))
    return found


def _find(app: Sphinx, doctree: nodes.document) -> None:
    for paragraph in list(doctree.findall(nodes.paragraph)):
        first = next((node for node in paragraph.children if node.astext()), None)  # MyST begins with an empty text
        if isinstance(first, nodes.strong) and first.astext() == FIRST:
            paragraph.replace_self(card(paragraph))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-read", _find)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
