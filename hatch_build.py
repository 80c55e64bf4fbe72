"""What the packages say of where the project lives: hatchling calls this when it builds a wheel or an sdist.

The address is ``repository.url`` of _config.yml, or the environment variable CLICV2LITE_REPOSITORY, as for the book's buttons
(book/_ext/repository_buttons.py). Without one, the package names the paper only: no link leads nowhere.
"""

import os
import re
from pathlib import Path
from typing import Any

import yaml
from hatchling.metadata.plugin.interface import MetadataHookInterface

PAPER = "https://arxiv.org/abs/2503.06641"


def repository(root: Path) -> tuple[str, str]:
    """The repository's address without a slash or .git at its end, or an empty string, and its branch."""
    settings = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    url: str = os.environ.get("CLICV2LITE_REPOSITORY") or settings["url"] or ""
    return url.rstrip("/").removesuffix(".git"), settings["branch"]


def urls(url: str, branch: str) -> dict[str, str]:
    """Label -> address, as [project.urls]."""
    found = {"Paper": PAPER}
    if url:
        found |= {"Repository": url, "Issues": f"{url}/issues", "Changelog": f"{url}/blob/{branch}/CHANGELOG.md"}
    if pages := re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", url):  # where .github/workflows/pages.yml puts the book
        found["Documentation"] = f"https://{pages[1].lower()}.github.io/{pages[2]}/"
    return found


def readme(text: str, url: str, branch: str) -> str:
    """README.md with whole addresses: a package index has no files beside it. Unchanged without an address."""
    if not url:
        return text
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?://)", rf"\1{url}/raw/{branch}/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?://|#)", rf"\1{url}/blob/{branch}/", text)


class Hook(MetadataHookInterface):
    """Fills in the dynamic fields ``urls`` and ``readme`` of pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        url, branch = repository(root)
        text = (root / "README.md").read_text(encoding="utf-8")
        metadata["urls"] = urls(url, branch)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme(text, url, branch)}
