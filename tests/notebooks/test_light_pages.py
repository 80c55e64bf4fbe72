"""Pages carry the icons that they show: in the script that draws them, in the style sheet, and in the fonts."""

import re
import shutil
import subprocess

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("pydata_sphinx_theme")
from fontTools.ttLib import TTFont


def test_script_keeps_the_named_icons_under_any_name_and_no_other(extension, tmp_path):
    light = extension("light_pages")
    whole = (light.THEME / light.SCRIPT).read_text(encoding="utf-8")
    cut = light.fewer_drawings(whole, {"bars", "times", "github"})  # "times" is another name of "xmark"
    assert {found[1] for found in light.DRAWN.finditer(cut)} == {"bars", "xmark", "github"}
    assert len(light.DRAWN.findall(whole)) > 1500  # the pattern reads the script of the theme that is installed
    assert len(cut) < len(whole) / 10
    if shutil.which("node"):
        (tmp_path / "icons.js").write_text(cut, encoding="utf-8")
        subprocess.run(["node", "--check", tmp_path / "icons.js"], check=True)


def test_style_sheet_loses_other_icons_rules_and_nothing_else(extension):
    light = extension("light_pages")
    whole = (light.THEME / light.STYLE).read_text(encoding="utf-8")
    cut = light.fewer_rules(whole, {"bars"})
    assert re.findall(r"\.fa-bars:+before", cut) and not re.findall(r"\.fa-ghost:+before", cut)
    assert re.sub(light.RULE, "", cut) == re.sub(light.WOFF2, "", re.sub(light.RULE, "", whole))
    assert ".woff2" not in cut and ".ttf" in cut


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


def test_names_are_those_of_pages_and_scripts(extension):
    page = '<i class="fa-solid fa-arrow-up"></i><a class="fab fa-github">not fa alone</a>'
    assert extension("light_pages").names_in([page, 'x.className="fa-xmark"']) == {"solid", "arrow-up", "github", "xmark"}
