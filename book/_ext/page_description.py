"""Sphinx extension: what search engines and messengers show of a page: its title, its first paragraph, and a picture.

A page that names a ``description`` in its ``html_meta`` keeps it. The picture needs the book's address
(``html_baseurl``): without one there is none, because a messenger reads no relative address.
"""

import re
from html import escape, unescape
from textwrap import shorten
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST, SHORTEST = 200, 60  # characters: more is cut off by everyone who shows it, fewer say nothing
PICTURE = "picture.png"  # in html_static_path
PICTURE_ALT = (
    "A photograph, two views of it with every patch moved, the patches that the encoder sees, the entropy of the hidden ones."
)
LEFT_OUT = (nodes.math, nodes.raw, nodes.image, nodes.comment)


def description(doctree: nodes.document) -> str:
    """The description that a page names, or its first paragraph of some length, without mathematics, shortened at a word."""
    for meta in doctree.findall(nodes.meta):
        if meta.get("name") == "description":
            return str(meta["content"])
    texts = [_plain(paragraph) for paragraph in doctree.findall(nodes.paragraph)]
    text = next((text for text in texts if len(text) >= SHORTEST), next(iter(texts), ""))
    return shorten(text, LONGEST, placeholder=" …")


def _plain(paragraph: nodes.paragraph) -> str:
    copy = paragraph.deepcopy()
    for node in list(copy.findall(lambda node: isinstance(node, LEFT_OUT))):
        node.parent.remove(node)
    return " ".join(copy.astext().split())


def _add_tags(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if doctree is None:
        return
    about = description(doctree)
    tags = {
        "og:site_name": app.config.html_title,
        "og:type": "article",
        "og:title": unescape(re.sub("<[^>]+>", "", context["title"])),
        "og:description": about,
    }
    if base := app.config.html_baseurl:
        tags |= {"og:image": f"{base.rstrip('/')}/_static/{PICTURE}", "og:image:alt": PICTURE_ALT}
    lines = [f'<meta property="{key}" content="{escape(value)}">' for key, value in tags.items() if value]
    lines += [f'<meta name="twitter:card" content="{"summary_large_image" if base else "summary"}">']
    if about and 'name="description"' not in context["metatags"]:
        lines.append(f'<meta name="description" content="{escape(about)}">')
    context["metatags"] += "\n" + "\n".join(lines)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("html-page-context", _add_tags)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
