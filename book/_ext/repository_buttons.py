"""Sphinx extension: buttons to the book's repository, Binder and Colab, if the book has an address.

The address is ``repository.url`` in _config.yml, or the environment variable CLICV2LITE_REPOSITORY of the build. Without one
no page shows a button that leads nowhere. The directive ``launch-note`` says how the buttons are used, where they exist.
"""

import os
import re
from typing import Any

import yaml
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxDirective

NOTE = """On a chapter's page, the rocket opens it on a computer that is not yours. Binder first builds the environment of
`environment.yml`, for several minutes.{colab}"""
COLAB = """ Colab lacks the package; run this in a first cell:

```python
%pip install "clicv2lite[notebooks] @ git+{url}@{branch}"
```"""


def address(settings: dict[str, Any]) -> str:
    """The repository's address without a slash or .git at its end, or an empty string; ``settings`` is _config.yml."""
    url: str = os.environ.get("CLICV2LITE_REPOSITORY") or settings.get("repository", {}).get("url") or ""
    if url and not re.fullmatch(r"https://[^/]*(github|gitlab)[^/]*/[^/]+/[^/]+?/?", url):
        raise ConfigError(f"repository {url!r} is not https://github.com/OWNER/NAME, nor of a GitLab; correct or empty it")
    return url.rstrip("/").removesuffix(".git")


def theme_options(url: str, branch: str) -> dict[str, Any]:
    """Options of sphinx-book-theme: all buttons, or none for an empty address. Colab opens notebooks of GitHub only."""
    launch = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
    if "github" in url:
        launch["colab_url"] = "https://colab.research.google.com"
    return {
        "repository_url": url,
        "repository_branch": branch,
        "use_repository_button": bool(url),
        "use_issues_button": bool(url),
        "launch_buttons": launch if url else {},
    }


class LaunchNote(SphinxDirective):
    """Nothing, or a paragraph about Binder and Colab."""

    def run(self) -> list[nodes.Node]:
        url, branch = self.config.repository_url, self.config.repository_branch
        if not url:
            return []
        colab = COLAB.format(url=url, branch=branch) if "github" in url else ""
        parent = nodes.Element()
        self.state.nested_parse(StringList(NOTE.format(colab=colab).splitlines()), self.content_offset, parent)
        return parent.children


def _configure(app: Sphinx, config: Config) -> None:
    # from the file: Jupyter Book drops its own repository options where html_theme_options is set
    settings = yaml.safe_load((app.srcdir / "_config.yml").read_text(encoding="utf-8"))
    url, branch = address(settings), settings["repository"]["branch"]
    config.repository_url, config.repository_branch = url, branch
    config.html_theme_options |= theme_options(url, branch)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("repository_url", "", "env", str)
    app.add_config_value("repository_branch", "main", "env", str)
    app.add_directive("launch-note", LaunchNote)
    app.connect("config-inited", _configure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
