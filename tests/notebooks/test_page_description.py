"""The description of a page is its own, or its first paragraph."""

import pytest

pytest.importorskip("sphinx")

from docutils import nodes
from docutils.utils import new_document


def page(*children):
    document = new_document("page")
    document.extend(children)
    return document


def test_first_paragraph_is_the_description_on_one_line(extension):
    document = page(nodes.title(text="Title"), nodes.paragraph(text="One\nsentence."), nodes.paragraph(text="Another."))
    assert extension("page_description").description(document) == "One sentence."


def test_a_description_that_the_page_names_wins(extension):
    own = nodes.meta(name="description", content="Mine.")
    assert extension("page_description").description(page(own, nodes.paragraph(text="One."))) == "Mine."


def test_long_paragraph_ends_at_a_word(extension):
    module = extension("page_description")
    shown = module.description(page(nodes.paragraph(text="complexity " * 50)))
    assert len(shown) <= module.LONGEST + 2 and shown.endswith("complexity …")


def test_page_without_a_paragraph_has_none(extension):
    assert extension("page_description").description(page(nodes.title(text="Title"))) == ""
