"""Sphinx extension: pages that a screen reader can follow where the HTML of docutils or pandas is not what WAI-ARIA allows."""

import re
from typing import Any

from page_body import change_body
from sphinx.application import Sphinx

CITATION = 'role="doc-biblioentry"'  # withdrawn from DPUB-ARIA: a list has list items
EMPTY_HEADER = re.compile(r"<th\b[^>]*>(?:\s|&nbsp;|<p>\s*</p>)*</th>")  # the corner of a data frame, a table without a heading


def accessible(body: str) -> str:
    """HTML with list items for citations, and plain cells where a table's header is empty."""
    return EMPTY_HEADER.sub("<td></td>", body.replace(CITATION, 'role="listitem"'))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    return change_body(app, accessible)
