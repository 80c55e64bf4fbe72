"""Buttons to the repository, Binder and Colab appear when one address is configured, and not otherwise."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/someone/clicv2lite"
MAIN = "from jupyter_book.cli.main import main; main()"


@pytest.fixture(scope="module")
def buttons(extension) -> ModuleType:
    return extension("repository_buttons")


def settings(url: str | None) -> dict:
    return {"repository": {"url": url, "branch": "main"}}


def test_address_comes_from_the_configuration_and_the_environment_overrides_it(buttons, monkeypatch):
    monkeypatch.delenv("CLICV2LITE_REPOSITORY", raising=False)
    assert buttons.address(settings(None)) == buttons.address(settings("")) == buttons.address({}) == ""
    assert buttons.address(settings(ADDRESS)) == ADDRESS
    monkeypatch.setenv("CLICV2LITE_REPOSITORY", "https://gitlab.com/other/book")
    assert buttons.address(settings(ADDRESS)) == "https://gitlab.com/other/book"


@pytest.mark.parametrize("tail", ["/", ".git", ""])
def test_address_is_the_plain_one(buttons, monkeypatch, tail):
    monkeypatch.setenv("CLICV2LITE_REPOSITORY", ADDRESS + tail)
    assert buttons.address({}) == ADDRESS


@pytest.mark.parametrize(
    "url", ["github.com/a/b", "https://github.com/a", "https://example.org/a/b", "https://github.com/a/b/tree/main"]
)
def test_address_that_the_theme_cannot_use_is_one_clear_line(buttons, monkeypatch, url):
    monkeypatch.setenv("CLICV2LITE_REPOSITORY", url)
    with pytest.raises(Exception, match=f"repository '{url}' is not https://github.com/OWNER/NAME"):
        buttons.address({})


def test_colab_is_offered_for_github_only(buttons):
    assert "colab_url" in buttons.theme_options(ADDRESS, "main")["launch_buttons"]
    assert "colab_url" not in buttons.theme_options("https://gitlab.com/a/b", "main")["launch_buttons"]


def test_the_book_is_kept_without_an_address():
    assert yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"] == ""


@pytest.fixture(scope="module")
def small_book(tmp_path_factory) -> Path:
    """The book's configuration around the front page's note and a notebook of one sentence."""
    book = tmp_path_factory.mktemp("book")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    del config["sphinx"]["local_extensions"]["reference_pages"]  # reads the whole book
    config["sphinx"]["config"]["extensions"].remove("reference_pages")
    for name in ("_ext", "_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, book / "book" / name)
    shutil.copy(ROOT / "book" / "references.bib", book / "book")
    (book / "_config.yml").write_text(yaml.safe_dump(config))
    (book / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: book/01_one\n")
    (book / "book" / "intro.md").write_text("# A book\n\n```{launch-note}\n```\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 1. One")])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, book / "book" / "01_one.ipynb")
    return book


def build(book: Path, address: str) -> tuple[str, str]:
    """The front page and the notebook's page, rendered for an address."""
    env = {**os.environ, "CLICV2LITE_REPOSITORY": address}
    command = [sys.executable, "-c", MAIN, "build", "--warningiserror", "--keep-going", "--quiet", str(book)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    intro, chapter = (book / "_build" / "html" / "book" / f"{name}.html" for name in ("intro", "01_one"))
    return intro.read_text(), chapter.read_text()


def test_pages_show_the_buttons_with_an_address_and_none_without(small_book):
    intro, chapter = build(small_book, "")
    assert not re.search(r"binder|colab|github", (intro + chapter).split("<main", 1)[1].split("</main>")[0], re.IGNORECASE)
    assert not re.search(r'href="https?://', intro + chapter)
    intro, chapter = build(small_book, ADDRESS)  # the same folder: a new address renders all pages again
    links = set(re.findall(r'href="(https?://[^"?]*)', chapter))
    assert links == {
        ADDRESS,
        f"{ADDRESS}/issues/new",
        "https://mybinder.org/v2/gh/someone/clicv2lite/main",
        "https://colab.research.google.com/github/someone/clicv2lite/blob/main/book/01_one.ipynb",
    }
    assert "urlpath=lab/tree/book/01_one.ipynb" in chapter
    text = re.sub(r"<[^>]+>", "", intro).replace("&quot;", '"')
    assert f'%pip install "clicv2lite[notebooks] @ git+{ADDRESS}@main"' in text
