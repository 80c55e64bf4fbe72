"""Two references of one author and year have a letter each, in the text and in the list."""

import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("sphinxcontrib.bibtex")
from pybtex.database import parse_file
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

BOOK = Path(__file__).parents[2] / "book"


def test_no_two_references_look_the_same_where_they_are_cited():
    def cited(entry):
        names = [" ".join(person.last_names) for person in entry.persons["author"]]
        return " and ".join(names) if len(names) < 3 else f"{names[0]} et al.", entry.fields["year"]

    seen = Counter(map(cited, parse_file(BOOK / "references.bib").entries.values()))
    assert not [label for label, times in seen.items() if times > 1]


def test_letter_stands_in_the_text_and_in_the_list(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BOOK / "_ext"))
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.rst").write_text("A\n=\n\n:cite:p:`chen2020simclr,donderi2006visual`\n\n.. bibliography::\n")
    settings = {
        "extensions": ["sphinxcontrib.bibtex", "lettered_years"],
        "bibtex_bibfiles": [str(BOOK / "references.bib")],
        "bibtex_default_style": "lettered",
        "bibtex_reference_style": "author_year",
    }
    with docutils_namespace():
        Sphinx(
            source, None, tmp_path / "out", tmp_path / "trees", "html", settings, None, sys.stderr, warningiserror=True
        ).build()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "2020a</a>" in page and "CKNH20a<" in page and "2006</a>" in page and "Don06<" in page
