"""The rendered files themselves, read without a browser."""

import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p for p in HTML.rglob("*.html") if "_static" not in p.parts)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Reader(HTMLParser):
    """Collects what a page loads, where it links to, its anchors, images without words, and standard error output."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.wordless: list[str] = []
        self.stderr = 0
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in LOADED and LOADED[tag] in values and values.get("rel") not in {"canonical", "index", "search"}:
            self.loads.append(values[LOADED[tag]])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.wordless.append(values.get("src", "")[:80])
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        self.stderr += "stderr" in values.get("class", "").split()


@pytest.fixture(scope="module")
def pages() -> dict[Path, Reader]:
    if not PAGES:
        pytest.skip("the book is not rendered: make book")
    return {page: Reader(page) for page in PAGES}


def test_no_page_loads_anything_from_another_host(pages):
    outside = [(page.name, url) for page, it in pages.items() for url in it.loads if urlsplit(url).netloc]
    assert not outside


def test_every_image_has_alternative_text_that_is_not_its_file_name(pages):
    wordless = [(page.name, src) for page, it in pages.items() for src in it.wordless]
    assert not wordless
    named = [page.name for page in pages if re.search(r'alt="[^"]*_images/', page.read_text(encoding="utf-8"))]
    assert not named, "a figure without a text of its own: set the cell's metadata mystnb.image.alt"


def test_every_link_within_the_book_has_a_target(pages):
    anchors = {page.resolve(): it.anchors for page, it in pages.items()}
    broken = []
    for page, it in pages.items():
        for url in it.links + it.loads:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or url in {"", "#"}:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in anchors and anchor not in anchors[target]):
                broken.append((page.name, url))
    assert not broken


def test_every_object_label_and_term_of_the_inventory_has_an_anchor(pages):
    anchors = {page.relative_to(HTML).as_posix(): it.anchors for page, it in pages.items()}
    *_, body = (HTML / "objects.inv").read_bytes().split(b"\n", 4)  # four lines of text, then the compressed entries
    kinds, missing = set(), []
    for line in zlib.decompress(body).decode().splitlines():
        name, kind, where = re.fullmatch(r"(.+?) (\S+:\S+) -?\d+ (\S*) .*", line).groups()
        page, _, anchor = where.replace("$", name).partition("#")
        kinds.add(kind)
        if anchor and unquote(anchor) not in anchors.get(page, ()):
            missing.append((kind, name, where))
    assert not missing
    assert {"py:function", "py:class", "std:label", "std:term"} <= kinds


def test_no_cell_writes_to_standard_error(pages):
    assert not {page.name: it.stderr for page, it in pages.items() if it.stderr}


def test_search_index_knows_the_method(pages):
    index = (HTML / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(") and "entropi" in index  # stemmed
