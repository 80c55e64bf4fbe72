"""Sphinx extension: ``{chapters}``, the chapters with their minutes and exercises, as their own first cells state them.

Without numbers it is a table of all chapters; ``{chapters} 4 6 7`` is a path through some of them, in one line.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Chapter:
    """What a chapter says of itself."""

    file: str
    title: str
    minutes: int
    exercises: int


def read_chapter(path: Path) -> Chapter:
    """Read a notebook's Markdown; ValueError if it states no title or no minutes."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    title, minutes = re.search(r"^# \d+\. (.+)", prose, re.MULTILINE), re.search(r"\*\*Time:\*\* (\d+) minutes", prose)
    if not title or not minutes:
        raise ValueError(f"{path.name}: the first cell states no title or no minutes")
    return Chapter(path.name, title[1].strip(), int(minutes[1]), len(re.findall(r"^### Exercise ", prose, re.MULTILINE)))


def lines(found: dict[int, Chapter], wanted: list[int]) -> list[str]:
    """A path through the wanted chapters, or a table of all if none is named, as MyST."""
    if wanted:
        way = " → ".join(f"[{n}]({found[n].file})" for n in wanted if n in found)
        hours = sum(found[n].minutes for n in wanted if n in found) / 60
        return [f"Chapters {way}, about {round(hours)} hours."]
    rows = [f"| [{n}. {c.title}]({c.file}) | {c.minutes} | {c.exercises} |" for n, c in sorted(found.items())]
    return ["| Chapter | Minutes | Exercises |", "|---|---:|---:|", *rows]


class Chapters(SphinxDirective):
    """``{chapters} [NUMBER ...]``"""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        paths = [p for p in (ROOT / "book").glob("[0-9][0-9]_*.ipynb") if f"book/{p.stem}" in self.env.found_docs]
        for path in paths:
            self.env.note_dependency(str(path))
        wanted = [int(n) for n in self.arguments[0].split()] if self.arguments else []
        parent = nodes.Element()
        text = StringList(lines({int(p.stem[:2]): read_chapter(p) for p in paths}, wanted), "chapters")
        self.state.nested_parse(text, self.content_offset, parent)
        return parent.children


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("chapters", Chapters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
