"""Sphinx extension: ``{question}``, a quick question that the page answers at once, with the reason.

The directive holds the question and a list of choices, one of which is right::

    :::{question}
    What is the entropy of a flat patch?

    - (x) 0 bits.

      All pixels are in one bin.
    - ( ) 7 bits.

      That is the most that 128 bins allow.
    :::

A choice opens by a click or by the keyboard and shows whether it is right, and why. This is plain HTML (``details``), so it
needs no script, no kernel and no network.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

MARKS = {"(x) ": True, "( ) ": False}


class Question(SphinxDirective):
    """``{question}``"""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse the content; an error if it is no question with choices of which one is right."""
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        *question, choices = parsed.children or [None]
        if not question or not isinstance(choices, nodes.bullet_list):
            raise self.error("a question ends with a list of choices")
        group = f"question-{self.env.new_serialno('question')}"
        found = [_choice(item, group) for item in choices.children]
        if any(right is None for right, _ in found) or sum(right is True for right, _ in found) != 1:
            raise self.error("each choice begins with (x) or ( ), has a reason below it, and one of them is (x)")
        box = nodes.container(classes=["quick-question"])
        box += _html(f'<p class="quick-question-head" id="{group}">Quick question</p>')
        box += question
        for _, parts in found:
            box += parts
        return [box]


def _html(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _choice(item: nodes.Node, group: str) -> tuple[bool | None, list[nodes.Node]]:
    """Whether the choice is right, None if it is malformed, and its nodes."""
    first, *reason = item.children or [None]
    start = first.children[0] if isinstance(first, nodes.paragraph) and first.children else None
    if not isinstance(start, nodes.Text) or start[:4] not in MARKS or not reason:
        return None, []
    right = MARKS[start[:4]]
    said = nodes.inline("", "", nodes.Text(start[4:]), *first.children[1:])
    verdict = nodes.paragraph("", "", nodes.strong("", "Right." if right else "No."), classes=["verdict"])
    kind = "right" if right else "wrong"
    return right, [
        _html(f'<details class="{kind}" name="{group}"><summary>'),
        said,
        _html("</summary>"),
        nodes.container("", verdict, *reason),
        _html("</details>"),
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("question", Question)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
