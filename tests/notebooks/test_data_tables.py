"""The columns of a data frame's table say what they hold."""

import re
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pd = pytest.importorskip("pandas")

FRAME = pd.DataFrame(
    {
        "rms_contrast": [0.1, float("nan")],
        "built from": ["code", ""],
        "over seeds": ["\N{MINUS SIGN}0.02 to +0.03", "-0.1 to 0.2"],
    },
    pd.MultiIndex.from_tuples([("x", "1"), ("x", "2")]),
)


@pytest.fixture
def told(extension, monkeypatch):
    """The extension, which imports another one as Sphinx lets it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "book" / "_ext"))
    return extension("data_tables").told


def kinds(page: str) -> list[tuple[str, str]]:
    """Class and text of every cell, of those classes that the extension gives."""
    cells = re.findall(r"<(?:th|td)\b([^>]*)>(.*?)</t[hd]>", page, re.DOTALL)
    said = [(re.search(r'class="(words|interval)\b', attributes), text.strip()) for attributes, text in cells]
    return [(found[1] if found else "", text) for found, text in said]


@pytest.mark.parametrize("html", [FRAME.to_html(), FRAME.style.format(na_rep="").to_html()], ids=["frame", "styler"])
def test_columns_of_words_and_intervals_are_told_from_numbers(told, html):
    found = kinds(told(html))
    assert ("", "rms_<wbr>contrast") in found and ("words", "built from") in found and ("", "over seeds") in found
    assert ("words", "code") in found and ("words", "") in found
    assert ("interval", "\N{MINUS SIGN}0.02 to +0.03") in found and ("interval", "\N{MINUS SIGN}0.1 to 0.2") in found
    assert {kind for kind, text in found if text in ("x", "1", "2")} == {"words"}
    assert not {kind for kind, text in found if text.startswith("0.1")} - {""}


def test_other_tables_and_headings_above_several_columns_stay(told):
    plain = "<table><tbody><tr><td>a word</td></tr></tbody></table>"
    assert told(plain) == plain
    wide = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("two words", "a"), ("two words", "b")])).to_html()
    assert '<th colspan="2" halign="left">two words</th>' in told(wide)


def test_cell_of_many_words_and_names_in_a_first_column_are_marked_for_a_phone(told):
    claims = ["masked entropy modeling improves the patch-wise loss", "vit-s32"]
    frame = told(pd.DataFrame({"claim": claims, "pcc": [0.1, 0.2]}).to_html())
    assert '<td class="words long">masked' in frame and '<td class="words name">vit-s32' in frame
    name = '<p><code><span class="pre">clicv2lite.rms_contrast()</span></code></p>'
    row = f'<tr class="row-odd"><td>{name}</td>\n<td>{name}</td></tr>'
    assert told(row) == row.replace("clicv2lite.rms_contrast", "clicv2lite.<wbr>rms_<wbr>contrast", 1)


def test_printed_columns_are_told_from_other_output(told):
    def printed(*lines):
        start = '<div class="output stream highlight-myst-ansi notranslate">'
        return told(start + '<div class="highlight"><pre><span></span>' + "\n".join(lines) + "\n</pre></div></div>")

    assert 'class="output stream columns ' in printed("model      N   GB", "ViT-B  40960    7", "ViT-L 159744  102")
    command = ("clicv2lite score a.jpg --csv scores.csv", "  2 x CPU, 58 s")
    for lines in (command, ("moco  {'backbone': 'vit'}",) * 3, ("a  b  c",)):
        assert "columns" not in printed(*lines)
