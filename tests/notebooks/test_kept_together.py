"""A line of a page does not end before a percent sign, nor between a formula and the brackets and the stop beside it."""

from pathlib import Path

import pytest

pytest.importorskip("sphinx")


@pytest.fixture
def together(extension, monkeypatch):
    """The extension, which imports another one as Sphinx lets it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "book" / "_ext"))
    return extension("kept_together").together


def test_percent_sign_stays_with_its_number_and_code_stays_as_it_is(together):
    page = "<p>95 % of <strong>14</strong> %</p><pre>5 % 2</pre><p>a % b</p><code>7 % 2</code> 3 %"
    kept = "<p>95&nbsp;% of <strong>14</strong>&nbsp;%</p><pre>5 % 2</pre><p>a % b</p><code>7 % 2</code> 3&nbsp;%"
    assert together(page) == kept


def test_formula_stays_with_its_brackets_and_its_stop(together):
    formula = r'<span class="math notranslate nohighlight">\(\ln 2\)</span>'
    assert together(f"<p>is {formula}. Or ({formula}), {formula} nats</p>") == (
        f'<p>is <span class="one-line">{formula}.</span> Or <span class="one-line">({formula}),</span> {formula} nats</p>'
    )
