"""Sphinx extension: the one line that stands for a folded cell says what the cell is.

A cell with the tag ``hide-input`` shows its output and folds its code; ``hide-cell`` folds both. A second tag says what it is.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LABELS = {
    "plot": "Code of the figure",
    "glue": "Code of numbers in the text",
    "assert": "Check of the claim",
    "solution": "Solution",
    "notes": "Notes",
}


def _label(app: Sphinx, doctree: nodes.document) -> None:
    for cell in doctree.findall(lambda node: isinstance(node, nodes.Element) and "hide_mode" in node):
        assert isinstance(cell, nodes.Element)
        for tag, label in LABELS.items():
            if f"tag_{tag}" in cell["classes"]:
                cell["prompt_show"] = cell["prompt_hide"] = label


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("doctree-read", _label)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
