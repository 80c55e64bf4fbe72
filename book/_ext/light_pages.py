"""Sphinx extension: a page loads only what it shows.

The theme's style sheets have rules for everything that any page could hold, and its fonts two thousand icons, of which a page
shows some twenty: both are cut to what the pages of this book name. ``_templates/layout.html`` leaves out the script that draws
the same icons a second time, and the search index; which parts of MathJax are loaded says ``offline_book.py``.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
STYLE, FONTS, ICONS = "styles/pydata-sphinx-theme.css", "vendor/fontawesome/webfonts", "scripts/fontawesome.js"
CLASSES = re.compile(r'\bclass="([^"]*)"')
WORD = re.compile(r"[\w-]+")
CODE = re.compile(r"[\ue000-\uf8ff]|\\([ef][0-9a-f]{3})")  # of an icon in a style sheet: itself, or escaped
WOFF2 = re.compile(r'url\([^)]*\.woff2\) format\("woff2"\),')
NESTS = {"media", "supports", "layer", "container"}  # rules that hold rules


def names_in(pages: Iterable[str], scripts: Iterable[str]) -> set[str]:
    """The classes of the elements of pages, and every word of scripts: each may be a class that the script sets."""
    named = {name for page in pages for found in CLASSES.findall(page) for name in found.split()}
    return named | {word for script in scripts for word in WORD.findall(script)}


def fewer_rules(style: str, names: set[str]) -> str:
    """A style sheet without the rules that need a class of another name, and without comments."""
    return _kept(tinycss2.parse_stylesheet(style, skip_comments=True, skip_whitespace=True), names)


def _kept(rules: list[Any], names: set[str]) -> str:
    kept = []
    for rule in rules:
        if rule.type == "qualified-rule":
            selectors = [part for part in _parts(rule.prelude) if _classes(part) <= names]
            if selectors:
                kept.append(f"{','.join(tinycss2.serialize(part).strip() for part in selectors)}{{{_text(rule.content)}}}")
        elif rule.type == "at-rule" and rule.content is not None and rule.lower_at_keyword in NESTS:
            inner = _kept(tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True), names)
            if inner:
                kept.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
        else:
            kept.append(rule.serialize())
    return "\n".join(kept)


def _text(content: list[Any]) -> str:
    return tinycss2.serialize([token for token in content if token.type != "comment"]).strip()


def _parts(prelude: list[Any]) -> list[list[Any]]:
    """The selectors between commas."""
    parts: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _classes(selector: list[Any]) -> set[str]:
    """The classes that a selector asks for; those inside :not() or :is() may be absent."""
    return {second.value for first, second in pairwise(selector) if first == "." and second.type == "ident"}


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
    # Sphinx has just copied the whole style sheets again: a new page may need a rule that the build before left out
    if error or app.builder.format != "html":
        return
    out, static = Path(app.outdir), Path(app.outdir) / "_static"
    for path in static.rglob("*.map"):  # they describe the whole files
        path.unlink()
    (static / ICONS).unlink(missing_ok=True)
    pages, scripts = (
        [path.read_text(encoding="utf-8") for path in folder.rglob(kind)]
        for folder, kind in ((out, "*.html"), (static, "*.js"))
    )
    names, styles = names_in(pages, scripts), []
    for path in static.rglob("*.css"):
        whole = (THEME / STYLE) if path == static / STYLE else path
        styles.append(WOFF2.sub("", fewer_rules(whole.read_text(encoding="utf-8"), names)))
        path.write_text(styles[-1], encoding="utf-8")
    for font in (THEME / FONTS).glob("*.ttf"):
        fewer_glyphs(font, static / FONTS / font.name, code_points(styles))
        (static / FONTS / font.name).with_suffix(".woff2").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("build-finished", _lighten, priority=900)  # after what adds files
    return {"parallel_read_safe": True, "parallel_write_safe": True}
