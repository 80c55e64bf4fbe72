"""The book's pages on the package, one a room, name every module that a reader may call, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "book" / "api").glob("*.md"))
# how the commands parse their arguments, the parts that one public module is made of, the exercises of each chapter
INTERNAL = re.compile(
    r"(^|\.)(__main__|__init__|cli|command)$|^bench\.|^data\.worlds\."
    r"|^widgets\.explorer$|^evaluate\.results\.(?!table$)|^exercises\.(?!(exercise|glue)$)"
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
    return "\n".join(path.read_text(encoding="utf-8") for path in PAGES)


def test_page_lists_every_public_module_once():
    listed = re.findall(r"automodule:: clicv2lite\.([\w.]+)$", page(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    found = modules()
    assert set(listed) - found == set(), "on the page, but not in the package"
    assert {name for name in found - set(listed) if not REGISTERED.search(name)} == set(), "not in book/api/ROOM.md"


def test_each_module_has_its_own_heading():
    headings = re.findall(r"^## `([\w.]+)`\n\n```\{eval-rst\}\n\.\. automodule:: clicv2lite\.([\w.]+)\n", page(), re.MULTILINE)
    assert len(headings) == page().count("automodule::")
    assert all(heading == module for heading, module in headings)


def test_the_index_leads_to_each_page_and_keeps_each_modules_old_address():
    """Links to ``api.html#module-clicv2lite.errors`` are older than the pages."""
    index = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    kept = re.findall(
        r"^- <span id=\"module-clicv2lite\.([\w.]+)\"></span>\{py:mod\}`([\w.]+) <clicv2lite\.([\w.]+)>`$", index, re.MULTILINE
    )
    assert all(len(set(names)) == 1 for names in kept)
    listed = re.findall(r"automodule:: clicv2lite\.([\w.]+)$", page(), re.MULTILINE)
    assert sorted(name for name, _, _ in kept) == sorted(listed)
    assert sorted(re.findall(r"\(api/(\w+)\.md\)", index)) == [path.stem for path in PAGES]


def test_each_page_holds_the_rooms_that_its_place_in_the_index_lists():
    index = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        (stem,) = re.findall(r"\(api/(\w+)\.md\)", section)
        listed = re.findall(
            r"automodule:: clicv2lite\.([\w.]+)$", (ROOT / "book" / "api" / f"{stem}.md").read_text(), re.MULTILINE
        )
        assert re.findall(r"module-clicv2lite\.([\w.]+)\"", section) == listed, stem


def annotated(path: Path) -> Iterator[str]:
    """Dotted names in the signatures that the page of a module shows: of other projects' classes, and of type variables."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    places = {}  # a name in the module -> what it stands for, without a page of its own
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            places |= {alias.asname or alias.name.split(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("clicv2lite"):
            places |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar("):
            places |= {ast.unparse(name): f"{dotted(path)}.{ast.unparse(name)}" for name in node.targets}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and node.name != "__init__"):
            continue
        arguments = (*node.args.posonlyargs, *node.args.args, node.args.vararg, *node.args.kwonlyargs)
        for annotation in (*(argument.annotation for argument in arguments if argument), node.returns):
            for name in ast.walk(annotation) if annotation else ():
                if isinstance(name, ast.Name) and name.id in places:
                    yield places[name.id]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_the_book_expects_no_page_of_another_projects_class():
    """Else `--nitpick` fails the build of the book, twenty minutes after the tests have passed."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
    others = "|".join(regex for _, regex in settings["nitpick_ignore_regex"])
    paths = [path for path in (ROOT / "clicv2lite").rglob("*.py") if not INTERNAL.search(dotted(path).partition(".")[2])]
    named = {name for path in paths for name in annotated(path)}
    assert "torch" in named and {name for name in named if not re.fullmatch(others, name)} == set()


def test_properties_have_no_type_and_constants_that_are_linked_have_a_text():
    """A property's first line is a type up to its colon; a constant is on the page only if a text stands below it."""
    wrong = []
    for path in (ROOT / "clicv2lite").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {
            ast.unparse(one.targets[0] if isinstance(one, ast.Assign) else one.target)
            for one, after in zip(tree.body, tree.body[1:], strict=False)
            if isinstance(one, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr)
        }
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) else None
            if isinstance(node, ast.FunctionDef) and any("property" in ast.unparse(one) for one in node.decorator_list):
                public = not node.name.startswith("_")
                wrong += [f"{path.name}: {node.name}"] if public and re.match(r"[\w ]+: ", text or "") else []
            wrong += [f"{path.name}: {name}" for name in re.findall(r":data:`(\w+)`", text or "") if name not in told]
    assert not wrong
