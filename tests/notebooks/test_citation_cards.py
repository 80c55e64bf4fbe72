"""The script of the cards comes with the pages that cite."""

from types import SimpleNamespace

import pytest

pytest.importorskip("sphinx")

LINK = '<p>[<a class="reference internal" href="{}" {}>Donderi, 2006</a>]</p>'


@pytest.mark.parametrize(
    ("body", "cites"),
    [
        (LINK.format("references.html#id11", 'title="Don C. Donderi. Visual complexity."'), True),
        (LINK.format("../references.html#id11", 'title="Don C. Donderi. Visual complexity."'), True),
        (LINK.format("references.html", ""), False),  # the page itself
        (LINK.format("glossary.html#term-x", 'title="x"'), False),
    ],
)
def test_page_that_cites_loads_the_cards(extension, body, cites):
    added: list[str] = []
    app = SimpleNamespace(add_js_file=lambda name, **attributes: added.append(name))
    extension("citation_cards")._add_cards(app, "book/page", "page.html", {"body": body}, None)
    assert added == (["citations/cards.js"] if cites else [])
