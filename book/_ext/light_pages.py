"""Sphinx extension: a page loads only what it shows.

The theme's pages load two thousand icons and show some twenty. ``fontawesome.js`` draws those that a page names, a font holds
those that a style sheet names, and the theme's style sheet has a rule for each: all three are cut to what is used.

The search index is left out by ``_templates/layout.html``; which parts of MathJax are loaded says ``offline_book.py``.
"""

import re
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SCRIPT, STYLE, FONTS = "scripts/fontawesome.js", "styles/pydata-sphinx-theme.css", "vendor/fontawesome/webfonts"
NAME = re.compile(r"\bfa-([a-z0-9-]+)")
# of the script: name:[width, height, [other names], "code point", path or paths]
DRAWN = re.compile(r'"?([a-z0-9-]+)"?:\[\d+,\d+,\[([^\]]*)\],"([0-9a-f]+)",(?:"[^"]*"|\[[^\]]*\])\],?')
# of the style sheet: .fa-name:before,.fa-other-name:before{content:"\f0c9"}
RULE = re.compile(r"\.fa-[a-z0-9-]+:+before(?:,\.fa-[a-z0-9-]+:+before)*\{content:[^}]*\}")
CODE = re.compile(r"[\ue000-\uf8ff]|\\([ef][0-9a-f]{3})")  # of an icon in a style sheet: itself, or escaped
WOFF2 = re.compile(r'url\([^)]*\.woff2\) format\("woff2"\),')


def names_in(texts: list[str]) -> set[str]:
    """The icons that pages and scripts name."""
    return {name for text in texts for name in NAME.findall(text)}


def fewer_drawings(script: str, names: set[str]) -> str:
    """``fontawesome.js`` with these icons alone. An icon may be named by any of its names."""

    def keep(found: re.Match[str]) -> str:
        own, others = found[1], set(re.findall(r'"([a-z0-9-]+)"', found[2]))
        return found[0] if names & {own, *others} else ""

    return DRAWN.sub(keep, script)


def fewer_rules(style: str, names: set[str]) -> str:
    """The theme's style sheet without the rules of other icons, and without the compressed fonts, see :func:`fewer_glyphs`."""
    return WOFF2.sub("", RULE.sub(lambda found: found[0] if names & set(NAME.findall(found[0])) else "", style))


def code_points(styles: list[str]) -> set[int]:
    """The icons that style sheets take from a font, as their code points."""
    return {int(found[1], 16) if found[1] else ord(found[0]) for text in styles for found in CODE.finditer(text)}


def fewer_glyphs(source: Path, target: Path, points: set[int]) -> None:
    """Write a TrueType font with these characters alone; a few kilobytes, so nothing is gained by compressing it."""
    options = subset.Options(layout_features=[], name_IDs=[0, 1, 2, 13, 14], notdef_outline=True)
    with TTFont(source, recalcTimestamp=False) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=points)
        cutter.subset(font)
        target.parent.mkdir(parents=True, exist_ok=True)
        font.save(target)


def _lighten(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    out, static = Path(app.outdir), Path(app.outdir) / "_static"
    scripts = [path for path in static.rglob("*.js") if path.name != Path(SCRIPT).name]
    names = names_in([path.read_text(encoding="utf-8") for path in [*out.rglob("*.html"), *scripts]])
    # from the theme's own files each time: a build that adds a page may need an icon that the one before left out
    script, style = ((THEME / name).read_text(encoding="utf-8") for name in (SCRIPT, STYLE))
    (static / SCRIPT).write_text(fewer_drawings(script, names), encoding="utf-8")
    (static / STYLE).write_text(style := fewer_rules(style, names), encoding="utf-8")
    others = [path.read_text(encoding="utf-8") for path in static.rglob("*.css") if path != static / STYLE]
    for font in (THEME / FONTS).glob("*.ttf"):
        fewer_glyphs(font, static / FONTS / font.name, code_points([style, *others]))
        (static / FONTS / font.name).with_suffix(".woff2").unlink(missing_ok=True)
    for name in (SCRIPT, STYLE):  # they describe the whole files
        (static / f"{name}.map").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("build-finished", _lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
