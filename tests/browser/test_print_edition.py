"""The print edition, of three pages: sheets, bookmarks, links, numbers; nothing that only moves on a screen."""

import importlib.util
import io
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"

pypdf = pytest.importorskip("pypdf")
pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason="the book is not rendered: make book")


@pytest.fixture(scope="module")
def printer():
    spec = importlib.util.spec_from_file_location("print_edition", ROOT / "book" / "print_edition.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def document(browser, printer):
    wanted = [("", ["book/notation"]), ("Chapters", ["book/13_does_the_shift_help", "book/04_patchwise_infonce"])]
    written = io.BytesIO()
    printer.edition(browser, wanted, HTML).write(written)
    return pypdf.PdfReader(written)


def bookmarks(reader) -> dict[str, int]:
    """Bookmarks of the first level, and the sheet of each."""
    return {item.title: reader.get_destination_page_number(item) for item in reader.outline if not isinstance(item, list)}


def test_every_page_of_the_book_but_the_reference_of_the_package_is_printed_in_its_order(printer):
    found = [name for _, names in printer.parts() for name in names]
    assert found[:3] == ["book/intro", "book/notation", "book/01_complexity"]
    assert found[-1] == "book/references" and not any(name.startswith("book/api") for name in found)
    chapters = sorted(path.stem for path in (ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
    assert [name.removeprefix("book/") for name in found if name[5:7].isdigit()] == chapters


def words(page) -> str:
    return " ".join(page.extract_text().split())


def test_document_has_the_title_the_contents_and_a_bookmark_for_each_chapter_where_it_begins(document):
    assert document.metadata.title == "Learning image complexity without labels"
    assert words(document.pages[0]).startswith("Learning image complexity without labels")
    found, contents = bookmarks(document), words(document.pages[1])
    assert found.pop("Contents") == 1 and contents.startswith("Contents")
    assert list(found.values()) == sorted(found.values()) and len(found) == 3
    for title, sheet in found.items():
        begins = words(document.pages[sheet])
        assert begins.startswith(title)
        assert begins.endswith(str(sheet + 1))  # its number
        assert title in contents and str(sheet + 1) in contents
    assert any(isinstance(item, list) for item in document.outline)  # sections below the chapters


def test_links_between_chapters_lead_to_their_sheets_and_none_to_a_file(document):
    inside, outside = set(), set()
    for page in document.pages:
        for annotation in page.annotations or ():
            entry = annotation.get_object()
            if "/Dest" in entry and isinstance(entry["/Dest"], pypdf.generic.ArrayObject):
                inside.add(document.get_page_number(entry["/Dest"][0].get_object()))
            outside.add(entry.get("/A", {}).get("/URI", ""))
    assert {sheet for title, sheet in bookmarks(document).items() if title != "Contents"} == inside
    assert not [uri for uri in outside if uri.startswith("file:")]


def test_paper_has_the_text_the_solutions_and_the_checks_but_no_side_bar(document):
    text = " ".join(words(page) for page in document.pages)
    assert "Interactive in the web edition" in text and "Solution" in text
    assert "Search this book" not in text and "Previous" not in text and "Code of the figure" not in text
