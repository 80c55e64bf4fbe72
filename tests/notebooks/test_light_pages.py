"""Pages carry the rules and the icons that they show: in the style sheets, and in the fonts."""

import re

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("pydata_sphinx_theme")
from fontTools.ttLib import TTFont

STYLE = """/* head */
.used, .other:hover, a.used.gone { color: red /* why */ }
.gone { color: blue }
.used:not(.gone) > p::before { content: ".gone{}" }
@media (max-width: 10px) { .gone { a: b } .used { c: d } }
@media print { .gone { a: b } }
@font-face { font-family: x; src: url(a.ttf) }
html[data-theme="dark"] .used { --x: 1 }
:root { --y: 2 }
"""


def test_style_sheet_keeps_the_rules_whose_classes_are_all_named(extension):
    cut = extension("light_pages").fewer_rules(STYLE, {"used"})
    assert re.sub(r"\s+", "", cut) == re.sub(
        r"\s+",
        "",
        """.used{color:red} .used:not(.gone)>p::before{content:".gone{}"}
        @media(max-width:10px){.used{c:d}} @font-face{font-family:x;src:url(a.ttf)}
        html[data-theme="dark"].used{--x:1} :root{--y:2}""",
    )


def test_style_sheet_of_the_theme_that_is_installed_loses_most_of_its_rules_and_none_with_all_names(extension):
    light = extension("light_pages")
    whole = (light.THEME / light.STYLE).read_text(encoding="utf-8")
    everything = light.fewer_rules(whole, set(re.findall(r"[\w-]+", whole)))
    assert everything.count("{") == len(re.findall(r"\{", re.sub(r"/\*.*?\*/", "", whole, flags=re.DOTALL)))
    cut = light.fewer_rules(whole, {"fa-bars", "bd-sidebar"})
    assert len(cut) < len(whole) / 3 and ".fa-bars:before" in cut and ".fa-ghost" not in cut


def test_font_keeps_the_characters_that_style_sheets_name(extension, tmp_path):
    light = extension("light_pages")
    points = light.code_points(['a{content:"\\f107"}', 'b{--icon:"\uf019"}', 'c{content:"\\2014"}'])
    assert points == {0xF107, 0xF019}
    source, target = light.THEME / light.FONTS / "fa-solid-900.ttf", tmp_path / "fonts" / "solid.ttf"
    light.fewer_glyphs(source, target, points)
    with TTFont(source) as whole, TTFont(target) as cut:
        assert set(cut.getBestCmap()) == points
        for point in points:
            old, new = (font["glyf"][font.getBestCmap()[point]].getCoordinates(font["glyf"])[0] for font in (whole, cut))
            assert list(old) == list(new)
    assert target.stat().st_size < source.stat().st_size / 50


def test_names_are_the_classes_of_pages_and_the_words_of_scripts(extension):
    page = '<i class="fa-solid fa-arrow-up"></i><a class="fab" href="not-me">not me</a>'
    assert extension("light_pages").names_in([page], ['x.className="fa-xmark"']) == {
        *("fa-solid", "fa-arrow-up", "fab"),
        *("x", "className", "fa-xmark"),
    }
