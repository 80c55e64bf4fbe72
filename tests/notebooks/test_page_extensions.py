"""What the extensions of book/_ext make of a page: cards, questions, labels of folded cells, descriptions, table corners."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("sphinx")
from sphinx.application import Sphinx
from sphinx.errors import SphinxWarning
from sphinx.util.docutils import docutils_namespace

EXT = Path(__file__).parents[2] / "book" / "_ext"
OURS = ("folded_cells", "chapter_head", "quick_questions", "page_description", "accessible_pages")
HEAD = "# 1. One\n\n**You will** see $x$ & more. **Before this:** nothing. **Time:** 5 minutes.\n**Module:** {ref}`here`.\n"
STORY = (
    "(here)=\n## A part\n\nThe first sentence of a text that goes on for a while, with $y^2$ in it and a `<b>` that is no tag."
)
QUESTION = """:::{question}
Is $2 + 2 = 4$?

- (x) Yes, **always**.

  By definition.
- ( ) No.

  It is.
:::"""


@pytest.fixture
def render(tmp_path, monkeypatch):
    """Render a notebook of some cells and return its page."""
    monkeypatch.syspath_prepend(str(EXT))

    def page(*cells, **more) -> str:
        source = tmp_path / "source"
        source.mkdir()
        notebook = nbformat.v4.new_notebook(cells=list(cells))
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, source / "index.ipynb")
        settings = {"extensions": ["myst_nb", *OURS], "nb_execution_mode": "off", "html_title": "A book", **more}
        settings["myst_enable_extensions"] = ["colon_fence", "dollarmath"]
        places = (source, None, tmp_path / "out", tmp_path / "trees")
        with docutils_namespace():  # what one build registers stays its own
            Sphinx(*places, "html", settings, None, sys.stderr, warningiserror=True).build()
        return (tmp_path / "out" / "index.html").read_text()

    return page


def markdown(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(text)


def code(source: str, *tags: str, output: str = "") -> nbformat.NotebookNode:
    data = nbformat.v4.new_output("execute_result", {"text/html": output}, execution_count=1)
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}, outputs=[data] if output else [])


def test_the_first_paragraph_becomes_a_card_with_a_row_for_each_part(render):
    page = render(markdown(HEAD), markdown(STORY))
    (card,) = re.findall(r'<dl class="[^"]*chapter-head[^"]*">(.*?)</dl>', page, re.DOTALL)
    assert re.findall(r"<dt>(.*?)</dt>", card) == ["You will", "Before this", "Time", "Module"]
    texts = [" ".join(re.sub("<[^>]+>", "", row).split()) for row in re.findall(r"<dd>(.*?)</dd>", card, re.DOTALL)]
    assert texts == [r"see \(x\) &amp; more.", "nothing.", "5 minutes.", "A part."]
    assert 'href="#here"' in card


def test_a_question_opens_its_choices_one_by_one_each_with_verdict_and_reason(render):
    page = render(markdown("# 1. One"), markdown(QUESTION), markdown(QUESTION))
    groups = re.findall(r'<details class="(\w+)" name="([\w-]+)"><summary>(.*?)</summary>(.*?)</details>', page, re.DOTALL)
    assert [kind for kind, *_ in groups] == ["right", "wrong"] * 2
    names = [name for _, name, *_ in groups]
    assert names[0] == names[1] != names[2] == names[3]  # opening one closes the other, not those of another question
    (_, _, choice, reason), (_, _, other, _), *_ = groups
    assert "Yes, <strong>always</strong>." in choice and "(x)" not in page and "( )" not in page
    assert "<strong>Right.</strong>" in reason and "By definition." in reason and "No." in other
    assert "<script" not in page.split('class="quick-question')[1].split("</details>")[0]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (QUESTION.replace("(x)", "( )"), "one of them is"),
        (QUESTION.replace("( )", "(x)"), "one of them is"),
        (QUESTION.replace("- ( ) No.", "- No."), "each choice begins with"),
        (QUESTION.replace("\n\n  It is.", ""), "has a reason below it"),
        (QUESTION.replace("- ( ) No.\n\n  It is.", "-"), "each choice begins with"),
        (":::{question}\nWhy?\n:::", "ends with a list of choices"),
    ],
)
def test_a_question_that_is_none_stops_the_build_and_says_why(render, broken, words):
    with pytest.raises(SphinxWarning, match=words):
        render(markdown("# 1. One"), markdown(broken))


def test_a_folded_cell_says_what_it_is(render):
    cells = [code("plt.show()", "plot", "hide-input"), code("assert 1", "assert", "hide-input"), code("x = 1", "hide-input")]
    page = render(markdown("# 1. One"), *cells)
    assert re.findall(r'<p class="collapsed admonition-title">(.*?)</p>', page) == [
        "Code of the figure",
        "Check of the claim",
        "Show code cell source",
    ]


def test_a_page_describes_itself_to_search_engines_without_mathematics_or_tags(render):
    page = render(markdown("# 1. One & two"), markdown(STORY))
    said = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)">', page))
    expected = "The first sentence of a text that goes on for a while, with in it and a &lt;b&gt; that is no tag."
    assert said["description"] == said["og:description"] == expected
    assert said["og:title"] == "1. One &amp; two" and said["og:site_name"] == "A book"


@pytest.mark.parametrize(
    ("base", "picture"),
    [
        ("", []),
        ("https://a.org/b/", ["https://a.org/b/_static/picture.png"]),
        ("https://a.org", ["https://a.org/_static/picture.png"]),
    ],
)
def test_a_page_has_a_picture_where_the_book_has_an_address(render, base, picture):
    page = render(markdown("# 1. One"), markdown(STORY), html_baseurl=base)
    assert re.findall(r'<meta property="og:image" content="([^"]*)">', page) == picture
    assert (EXT.parent / "_static" / "picture.png").is_file()


def test_the_corner_of_a_data_frame_is_no_empty_header(render):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([("x", "y")]))
    page = render(markdown("# 1. One"), *(code("x", output=html) for html in (frame.to_html(), frame.style.to_html())))
    headers = re.findall(r"<th\b[^>]*>(.*?)</th>", page, re.DOTALL)
    assert headers.count("a") == 2 and all(header.strip() not in ("", "&nbsp;") for header in headers)


def test_a_heading_that_a_table_has_not_is_no_empty_header(render):
    page = render(markdown("# 1. One\n\n| | b |\n| --- | --- |\n| 1 | 2 |"))
    headers = re.findall(r"<th\b[^>]*>(.*?)</th>", page, re.DOTALL)
    assert headers == ["<p>b</p>"] and page.count("<td></td>") == 1
