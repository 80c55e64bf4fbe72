"""Sphinx extension: the reference pages that no one types: equation -> function -> test, and which chapters use what.

- ``{equation-map}`` and ``{equation-tests}``: tables of the paper's equations, figures, tables and sections.
- The pages of the API: "Used in chapters 3 and 5" below every object, and each "chapter 5" of a docstring leads there.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cross_references import Documented, Place, Scope, chapters, documented, mentions, tests, touches
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
# what each thing of the paper is about; who computes it is read off the sources
TITLES = {
    Place("equation", "1"): r"$\mathcal L_{\mathrm{IN}}$, InfoNCE of whole images",
    Place("equation", "2"): r"$\mathcal L_j^i$, InfoNCE of one patch",
    Place("equation", "3"): r"$\mathcal L_{\mathrm{PwIN}}$, its mean over the visible patches",
    Place("equation", "4"): r"$H(\mathbf F(X))$, entropy",
    Place("equation", "5"): r"$C(X) \sim f(\mathbf F(X))$, complexity from features",
    Place("equation", "6"): r"$X = \{P_1, \ldots, P_G\}$, an image is its patches",
    Place("equation", "7"): r"$X_{mask}$, some patches are hidden",
    Place("equation", "8"): r"$H(\mathbf F(X_{mask})) < H(\mathbf F(X))$",
    Place("equation", "9"): r"$C(X_{mask}) < C(X)$",
    Place("equation", "10"): r"$H(\mathbf F(X_{mask})) + H_c \to H(\mathbf F(X))$",
    Place("equation", "11"): r"$\mathcal L_{\mathrm{rec}}$, masked entropy modeling",
    Place("equation", "12"): r"$\mathcal L = \mathcal L_{\mathrm{PwIN}} + \lambda \mathcal L_{\mathrm{rec}}$",
    Place("figure", "1"): "positive pairs of CLIC and of CLICv2",
    Place("figure", "2"): "two crops of one image differ in complexity",
    Place("figure", "3"): "shifted patchify",
    Place("figure", "4"): "the architecture",
    Place("figure", "5"): "PCC per semantic category",
    Place("figure", "6"): "mask ratio",
    Place("figure", "7"): "t-SNE of the features",
    Place("table", "1"): "methods on IC9600",
    Place("table", "2"): "ablation of the three parts",
    Place("table", "3"): "shift and augmentation",
    Place("table", "4"): "image-wise or patch-wise loss",
    Place("table", "5"): "what the decoder predicts",
    Place("section", "3.1"): "shifted patchify, in words",
    Place("section", "4.1"): "data, pretraining and probing",
    Place("section", "4.4"): "variance over categories; class information",
    Place("section", "4.5"): "patch-wise loss, targets, mask ratio, t-SNE",
}
# what no function computes, and why
NO_FUNCTION = {
    Place("equation", "8"): "a claim; true on average over masks, not of each",
    Place("equation", "9"): "a claim about people's judgement; no experiment of the paper tests it",
    Place("equation", "10"): "a claim; the step from equation 8 to the loss",
    Place("section", "4.5"): "see tables 4 and 5 and figures 6 and 7",
    Place("figure", "1"): "a sketch of the idea; the views are figure 3",
}


@dataclass(frozen=True)
class Row:
    """One thing of the paper."""

    place: Place
    code: list[Documented]
    tests: dict[str, list[tuple[str, str]]]  # of each object: (file, test)
    chapters: list[int]  # that name it, or whose code uses one of its objects


@dataclass(frozen=True)
class References:
    """All that the reference pages say."""

    rows: list[Row]
    stems: dict[int, str]  # number of a chapter -> its file
    used_in: dict[str, list[int]]  # object -> chapters whose code uses it
    objects: dict[str, Documented]


def collect(root: Path) -> References:
    """Read the package, the tests and the chapters."""
    things, book, checks = documented(root), chapters(root), tests(root)
    used = {name: [n for n, (_, scope, _) in book.items() if touches(scope, thing)] for name, thing in things.items()}
    rows = []
    for place in TITLES:
        named = [thing for thing in things.values() if place in mentions(thing.doc)]
        # a module stands for itself only if none of its functions claims the place; a class likewise
        code = [t for t in named if not any(other.name.startswith(f"{t.name}.") for other in named)]
        told = [n for n, (_, _, prose) in book.items() if place in mentions(prose)]
        computed = [n for thing in code if thing.kind != "module" for n in used[thing.name]]
        rows.append(Row(place, code, {t.name: _tests_of(t, checks) for t in code}, sorted({*told, *computed})))
    return References(rows, {n: stem for n, (stem, _, _) in book.items()}, used, things)


def _tests_of(thing: Documented, checks: dict[tuple[str, str], Scope]) -> list[tuple[str, str]]:
    return [test for test, scope in checks.items() if touches(scope, thing)]


@cache
def _references() -> References:
    return collect(ROOT)


def _key() -> str:
    """A hash of all that the pages say."""
    references = _references()
    rows = [(row.place, [thing.name for thing in row.code], row.tests, row.chapters) for row in references.rows]
    return hashlib.sha256(repr((rows, references.stems, references.used_in, TITLES, NO_FUNCTION)).encode()).hexdigest()


def _chapter(number: int, references: References, env: BuildEnvironment, text: str, form: str) -> str:
    """A link to a chapter, or its text alone where the book is built without that chapter."""
    doc = f"book/{references.stems.get(number)}"
    return form.format(text=text, doc=f"/{doc}") if doc in env.found_docs else text


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _role(thing: Documented) -> str:
    role = {"module": "mod", "class": "class", "function": "func", "method": "meth"}[thing.kind]
    if thing.kind == "function":
        return f"{{py:{role}}}`~{thing.name}`"
    short = ".".join(thing.name.split(".")[-2:]) if thing.kind == "method" else thing.name.removeprefix("clicv2lite.")
    return f"{{py:{role}}}`{short} <{thing.name}>`"


def _where(place: Place) -> str:
    return f"{place.kind} {place.number}"


def _tests(number: int) -> str:
    return f"{number or 'no'} test{'s' * (number != 1)}"


def map_lines(kind: str, references: References, env: BuildEnvironment) -> list[str]:
    """The table of one kind of thing, as MyST."""
    lines = [f"| {kind.capitalize()} | Code | Chapters |", "|---|---|---|"]
    for row in references.rows:
        if row.place.kind != kind:
            continue
        code = "<br>".join(f"{_role(thing)} {_tests(len(row.tests[thing.name]))}" for thing in row.code)
        links = [_chapter(n, references, env, str(n), "{{doc}}`{text} <{doc}>`") for n in row.chapters]
        reason = f"*{NO_FUNCTION.get(row.place, 'no function yet')}*"
        lines.append(f"| **{row.place.number}** {TITLES[row.place]} | {code or reason} | {', '.join(links) or '–'} |")
    return lines


def tests_lines(references: References) -> list[str]:
    """For each function that carries an equation or a figure the tests that call it, as MyST."""
    lines = []
    carriers = {t.name: t for row in references.rows for t in row.code if t.kind != "module" and row.place.kind != "section"}
    for name, thing in carriers.items():
        found = next(row.tests[name] for row in references.rows if name in row.tests)
        places = [_where(row.place) for row in references.rows if name in row.tests]
        lines += [f":::{{dropdown}} {name.removeprefix('clicv2lite.')}: {_tests(len(found))}"]
        lines += [f"{_role(thing)}, {_and(places)}", ""]
        lines += [f"- `{file}`: {test.removeprefix('test_').replace('_', ' ')}" for file, test in found]
        lines += [":::", ""]
    return lines


class EquationMap(SphinxDirective):
    """``{equation-map} equation``: equation, figure, table or section."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return _parsed(self, map_lines(self.arguments[0], _references(), self.env))


class EquationTests(SphinxDirective):
    """``{equation-tests}``: the tests behind the map, folded."""

    def run(self) -> list[nodes.Node]:
        return _parsed(self, tests_lines(_references()))


def _parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    box = nodes.container(classes=["equation-map"])
    directive.state.nested_parse(StringList(lines, "equation-map"), directive.content_offset, box)
    return [box]


def _no_type(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The docstring of a value is text; napoleon would take what stands before its first colon for a type."""
    if what in ("data", "attribute") and lines:
        lines[0] = f": {lines[0]}"


def _link_chapters(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """In a docstring "chapter 5" becomes a link; below it stands which chapters use the object."""
    references, form = _references(), ":doc:`{text} <{doc}>`"

    def number(match: re.Match[str]) -> str:
        return _chapter(int(match[0]), references, app.env, match[0], form)

    def named(match: re.Match[str]) -> str:
        if match[1] == "chapter":
            return _chapter(int(match[2]), references, app.env, match[0], form)
        return f"{match[1]} {re.sub(r'[0-9]+', number, match[2])}"

    lines[:] = [re.sub(r"\b(chapter|chapters) (\d+(?:(?:, | and | to )\d+)*)", named, line) for line in lines]
    used = references.used_in.get(name, [])
    if what in ("class", "function") and used:
        links = [_chapter(n, references, app.env, str(n), form) for n in used]
        lines += ["", f"*Used in chapter{'s' * (len(links) > 1)}* {_and(links)}.", ""]


def _signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None) -> Any:
    """A dataclass's "<factory>" is no Python: Sphinx could not parse the signature, and would link none of its types.

    The range of a setting stands in its declaration; a signature of thirty settings is easier to read without.
    """
    plain = re.sub(r"(?:~?typing\.)?Annotated\[([\w.]+), [^\]]*\]", r"\1", signature or "")
    return plain.replace("<factory>", "..."), returns


def _outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The reference pages are read again when what they are made of has changed."""
    old, new = getattr(env, "reference_key", ""), _key()
    env.reference_key = new  # type: ignore[attr-defined]
    return [] if old == new else [page for page in env.found_docs if page.startswith("book/api/") or page == "book/equations"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("equation-map", EquationMap)
    app.add_directive("equation-tests", EquationTests)
    app.connect("autodoc-process-docstring", _no_type, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _link_chapters, priority=600)  # after napoleon has made fields of sections
    app.connect("autodoc-process-signature", _signature)
    app.connect("env-get-outdated", _outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
