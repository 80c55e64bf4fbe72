"""The book's page on the package names every module that a reader may call, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# how the commands parse their arguments, the parts that one public module is made of, the exercises of each chapter
INTERNAL = re.compile(
    r"(^|\.)(__main__|__init__|cli|command)$|^bench\.|^data\.worlds\."
    r"|^widgets\.explorer$|^evaluate\.results\.(?!table$)|^exercises\.(?!exercise$)"
)

# found by their registry, which is on the page; a file of one may be there, too
REGISTERED = re.compile(r"^(learners|baselines\.supervised\.networks)\.(?!base$)")
DEFINITIONS = (ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)


def modules() -> set[str]:
    """Dotted names below clicv2lite; a package stands for itself if it defines something."""
    found = set()
    for path in (ROOT / "clicv2lite").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / "clicv2lite").with_suffix("").parts)
        if path.name == "__init__.py" and name != "__init__":
            if any(isinstance(node, DEFINITIONS) for node in ast.parse(path.read_text(encoding="utf-8")).body):
                found.add(name.removesuffix(".__init__"))
        elif not INTERNAL.search(name):
            found.add(name)
    return found


def page() -> str:
    return (ROOT / "book" / "api.md").read_text()


def test_page_lists_every_public_module_once():
    listed = re.findall(r"automodule:: clicv2lite\.([\w.]+)$", page(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    found = modules()
    assert set(listed) - found == set(), "on the page, but not in the package"
    assert {name for name in found - set(listed) if not REGISTERED.search(name)} == set(), "not in book/api.md"


def test_each_module_has_its_own_heading():
    headings = re.findall(r"^### `([\w.]+)`\n\n```\{eval-rst\}\n\.\. automodule:: clicv2lite\.([\w.]+)\n", page(), re.MULTILINE)
    assert len(headings) == page().count("automodule::")
    assert all(heading == module for heading, module in headings)
