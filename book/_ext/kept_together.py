"""Sphinx extension: what belongs together stays on a line: a number and its percent sign, a formula and the marks beside it.

A browser may break a line on both sides of a formula, also before a full stop or a bracket.
"""

import re
from typing import Any

from page_body import change_body
from sphinx.application import Sphinx

CODE = re.compile(r"(<(pre|code|script|style)\b.*?</\2>)", re.DOTALL)
PERCENT = re.compile(r"(?<=\d)((?:</\w+>)*) %")
FORMULA = re.compile(r'\(?<span class="math notranslate nohighlight">[^<]*</span>[.,;:?!)]*')


def together(body: str) -> str:
    """HTML in which no line ends before a percent sign, or between a formula and the brackets and the stop beside it."""
    parts = CODE.split(body)
    parts[::3] = [FORMULA.sub(_in_one_line, PERCENT.sub(r"\1&nbsp;%", text)) for text in parts[::3]]
    del parts[2::3]  # names of tags
    return "".join(parts)


def _in_one_line(found: re.Match[str]) -> str:
    return found[0] if found[0].endswith("</span>") and found[0][0] != "(" else f'<span class="one-line">{found[0]}</span>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    return change_body(app, together)
