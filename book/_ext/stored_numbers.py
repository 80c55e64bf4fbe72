"""Sphinx extension: the role ``{stored}``, a number out of a stored result, for pages that execute nothing.

``{stored}`clicv2lite/models/default/probe.json mean_pcc .2f``` is the file in the repository, the keys to the number with a
slash between them, and Python's format of it. In a list, a key is an index, or the ``id`` of one of its objects. Numbers that a
chapter glues into a sentence get the same true minus sign.
"""

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

ROOT = Path(__file__).parents[2]
MINUS = re.compile(r"(?<![\w-])-(?=\d)")  # before a number, not within a word or a range


def stored(text: str, root: Path = ROOT) -> str:
    """The number that the role's text names, with a true minus sign; ValueError if there is none."""
    try:
        file, rest = text.split(" ", 1)
        keys, form = rest.rsplit(" ", 1)
        value: Any = json.loads((root / file).read_text(encoding="utf-8"))
        for key in keys.split("/"):
            value = _item(value, key)
        return true_minus(format(float(value), form))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{text}: no such number ({error!r}); write FILE KEY/KEY FORMAT") from None


def true_minus(text: str) -> str:
    """The text with a minus sign in place of a hyphen before a number."""
    return MINUS.sub("\N{MINUS SIGN}", text)


def _mend_glued(app: Sphinx, doctree: nodes.document) -> None:
    for glued in doctree.findall(lambda node: isinstance(node, nodes.inline) and "pasted-text" in node["classes"]):
        for text in list(glued.findall(nodes.Text)):
            text.parent.replace(text, nodes.Text(true_minus(text.astext())))


def _item(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value[key]
    return value[int(key)] if key.isdecimal() else next((each for each in value if each["id"] == key), None)


class Stored(SphinxRole):
    """``{stored}``"""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        self.env.note_dependency(str(ROOT / self.text.split(" ", 1)[0]))
        try:
            return [nodes.Text(stored(self.text))], []
        except ValueError as error:
            return [], [self.inliner.reporter.error(str(error), line=self.lineno)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_role("stored", Stored())
    app.connect("doctree-read", _mend_glued)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
