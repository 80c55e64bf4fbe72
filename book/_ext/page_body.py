"""For Sphinx extensions that change the HTML of every page's text."""

from collections.abc import Callable
from typing import Any

from sphinx.application import Sphinx


def change_body(app: Sphinx, change: Callable[[str], str]) -> dict[str, Any]:
    """Let `change` rewrite the text of each page that has one; what an extension's `setup` returns."""

    def rewrite(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        if "body" in context:
            context["body"] = change(context["body"])

    app.connect("html-page-context", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
