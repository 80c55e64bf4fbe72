"""Sphinx extension: pages that a screen reader can follow where the HTML of docutils or pandas is not what WAI-ARIA allows."""

import re
from typing import Any

from sphinx.application import Sphinx

CITATION = 'role="doc-biblioentry"'  # withdrawn from DPUB-ARIA: a list has list items
EMPTY_HEADER = re.compile(r"<th\b[^>]*>(?:\s|&nbsp;|<p>\s*</p>)*</th>")  # the corner of a data frame, a table without a heading


def accessible(body: str) -> str:
    """HTML with list items for citations, and plain cells where a table's header is empty."""
    return EMPTY_HEADER.sub("<td></td>", body.replace(CITATION, 'role="listitem"'))


def _mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = accessible(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
