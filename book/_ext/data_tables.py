"""Sphinx extension: the columns of a data frame's table say what they hold: words, intervals, or numbers (no class).

book.css puts words on the left and numbers on the right, and keeps an interval on one line. A name with underscores may break
after each of them in a heading, a name like ``vit-s32`` stays on its line (``name``), and numbers get the minus sign that they
have in the text. For a phone, a cell of many words is marked ``long``, a name in the first column of another table may break
between its parts, and printed lines in columns are marked ``columns``: they scroll, where others wrap.
"""

import re
from typing import Any

from page_body import change_body
from sphinx.application import Sphinx
from stored_numbers import true_minus

TABLE = re.compile(r'(<table\b[^>]*(?:class="dataframe|id="T_)[^>]*>)(.*?)(</table>)', re.DOTALL)
ROW, CELL = re.compile(r"(<tr\b[^>]*>)(.*?)(</tr>)", re.DOTALL), re.compile(r"<(th|td)\b([^>]*)>(.*?)</\1>", re.DOTALL)
WORD = re.compile(r"(?<![^\W\d_])(?!(?:to|nan|NaN|None|inf)\b)[^\W\d_]{2,}")
PRINTED = re.compile(r'(<div class="output \w+)( [^>]*>\s*<div class="highlight"><pre>)(.*?)(?=</pre>)', re.DOTALL)
IN_COLUMNS = re.compile(r"(?:\S+ {2,}(?! )){2}")  # two gaps in a line
FIRST_CELL = re.compile(r'(?<=<tr class="row-)(?:odd|even)">\s*<td>.*?(?=</td>)', re.DOTALL)
NAME = re.compile(r'(?<=<span class="pre">)[^<]+')
LONG = 30  # characters
INTERVAL = re.compile(r"[-+\N{MINUS SIGN}]?[\d.,]+ (?:to|\N{EN DASH}) [-+\N{MINUS SIGN}]?[\d.,]+")


def told(body: str) -> str:
    """HTML in which the cells of data frames have the class ``words`` or ``interval`` where their column holds such."""
    body = PRINTED.sub(lambda found: found[1] + " columns" * _in_columns(found[3]) + found[2] + found[3], body)
    body = FIRST_CELL.sub(lambda cell: NAME.sub(lambda name: re.sub(r"([._])(?=\w)", r"\1<wbr>", name[0]), cell[0]), body)
    return TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], body)


def _in_columns(printed: str) -> bool:
    return sum(bool(IN_COLUMNS.search(line)) for line in _text(printed).splitlines()) > 1


def _table(inside: str) -> str:
    head, mark, rows = inside.partition("<tbody>")
    # counted from the right: names of rows stand on the left, and one of them may serve several rows
    data = [[_text(cell[3]) for cell in CELL.finditer(row[2]) if cell[1] == "td"] for row in ROW.finditer(rows)]
    width = max(map(len, data), default=0)
    words = {k for k in range(1, width + 1) if any(len(row) >= k and WORD.search(row[-k]) for row in data)}
    return _rows(head, words, width, heading=True) + mark + _rows(rows, words, width, heading=False)


def _rows(rows: str, words: set[int], width: int, heading: bool) -> str:
    return ROW.sub(lambda row: row[1] + _cells(row[2], words, width, heading) + row[3], rows)


def _cells(row: str, words: set[int], width: int, heading: bool) -> str:
    if "colspan" in row:  # a heading above several columns
        return row
    left = len(CELL.findall(row))

    def cell(found: re.Match[str]) -> str:
        nonlocal left
        tag, attributes, text = found.groups()
        place, left = left, left - 1
        if heading:
            text = re.sub(r"_(?=\w)(?![^<]*>)", "_<wbr>", text)
        if tag == "td" and place not in words:
            text = true_minus(text)
        kind = "interval" if INTERVAL.fullmatch(_text(text)) else "words" if place > width or place in words else ""
        if kind == "words" and len(_text(text)) > LONG:
            kind = "words long"
        elif kind == "words" and " " not in _text(text):
            kind = "words name"
        return f"<{tag}{_with_class(attributes, kind)}>{text}</{tag}>"

    return CELL.sub(cell, row)


def _with_class(attributes: str, kind: str) -> str:
    if not kind:
        return attributes
    if 'class="' in attributes:
        return attributes.replace('class="', f'class="{kind} ', 1)
    return f'{attributes} class="{kind}"'


def _text(html: str) -> str:
    return re.sub("<[^>]+>", "", html).strip()


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    return change_body(app, told)
