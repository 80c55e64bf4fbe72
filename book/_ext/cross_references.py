"""Who mentions, uses and tests what: read off docstrings, tests and chapters by `ast`, nothing is imported or executed."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "clicv2lite"
NUMBERS = r"\d+(?:\.\d)?(?:(?:, | and |, and | to )\d+(?:\.\d)?)*"
MENTION = re.compile(rf"\b(equation|table|figure|section)s?\s+({NUMBERS})", re.IGNORECASE)
OTHER_WORK = re.compile(r"(?:(?!CLICv2\b)\b[A-Z]\w*|\b\d{4})(?:'s)?, $")  # "(SimSiam, figure 2)" is not the paper's figure
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Place:
    """A thing of the paper: ("equation", "2")."""

    kind: str
    number: str


@dataclass
class Scope:
    """What a piece of code refers to."""

    names: set[str] = field(default_factory=set)  # bare names: of helpers, fixtures, constants
    dotted: set[str] = field(default_factory=set)  # of the package: "clicv2lite.method.patches.shift"
    attributes: set[str] = field(default_factory=set)  # what stands after a dot, of whatever object


def mentions(text: str) -> set[Place]:
    """The equations, tables, figures and sections of the paper that a text names."""
    found, line = set(), " ".join(text.split())
    for match in MENTION.finditer(line):
        if OTHER_WORK.search(line[: match.start()]):
            continue
        found |= {Place(match[1].lower(), number) for number in _numbers(match[2])}
    return found


def _numbers(text: str) -> list[str]:
    """ "2, 3 and 5 to 7" -> 2, 3, 5, 6, 7; "4.1 to 4.3" -> 4.1, 4.2, 4.3"""
    numbers: list[str] = []
    for part in re.split(r", and |, | and ", text):
        first, _, last = part.partition(" to ")
        head, dot, start = first.rpartition(".")
        numbers += [f"{head}{dot}{n}" for n in range(int(start), int(last.rpartition(".")[2]) + 1)] if last else [first]
    return numbers


@dataclass(frozen=True)
class Documented:
    """A public object of the package."""

    name: str  # dotted
    kind: str  # module, class, function or method
    doc: str
    called_by: frozenset[str] = frozenset()  # of a method: the methods of its class that call it, itself included


def documented(root: Path) -> dict[str, Documented]:
    """Every public module, class, function and method by its dotted name, in the order of the source."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        tree, module = _tree(path), _module(root, path)
        found[module] = Documented(module, "module", ast.get_docstring(tree) or "")
        for node in tree.body:
            if isinstance(node, FUNCTION | ast.ClassDef) and not node.name.startswith("_"):
                name, kind = f"{module}.{node.name}", "class" if isinstance(node, ast.ClassDef) else "function"
                found[name] = Documented(name, kind, ast.get_docstring(node) or "")
                parts = [part for part in node.body if isinstance(part, FUNCTION)] if kind == "class" else []
                calls = {part.name: _attributes(part) for part in parts}
                for part in parts:
                    if not part.name.startswith("_"):
                        callers = frozenset({part.name} | {other for other, used in calls.items() if part.name in used})
                        doc = ast.get_docstring(part) or ""
                        found[f"{name}.{part.name}"] = Documented(f"{name}.{part.name}", "method", doc, callers)
    return found


def _attributes(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def chapters(root: Path) -> dict[int, tuple[str, Scope, str]]:
    """Number of each chapter -> its file's stem, what its code refers to, its prose."""
    found, exports = {}, _exports(root)
    for path in sorted((root / "book").glob("[0-9][0-9]_*.ipynb")):
        text = {"code": "", "markdown": ""}
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text[cell["cell_type"]] += "".join(cell["source"]) + "\n"
        tree = ast.parse(re.sub(r"(?m)^[%!].*", "pass", text["code"]))
        found[int(path.stem[:2])] = path.stem, _scope(tree, _bindings(tree, exports), exports), text["markdown"]
    return found


def tests(root: Path) -> dict[tuple[str, str], Scope]:
    """(file, name) of each test -> what it refers to, by way of the helpers and fixtures of its file too."""
    found, exports = {}, _exports(root)
    for path in sorted((root / "tests").rglob("test_*.py")):
        tree = _tree(path)
        bindings = _bindings(tree, exports)
        scopes = {name: _scope(node, bindings, exports) for node in tree.body for name in _defined(node)}
        for name in scopes:
            if name.startswith("test_"):
                found[path.relative_to(root / "tests").as_posix(), name] = _closure(name, scopes)
    return found


def touches(scope: Scope, thing: Documented) -> bool:
    """Whether code refers to an object: a method by its class and its own name or a caller's, a module by anything in it."""
    if thing.kind == "module":
        return any(f"{dotted}.".startswith(f"{thing.name}.") for dotted in scope.dotted)
    if thing.kind == "method":
        owner = thing.name.rpartition(".")[0]
        return owner in scope.dotted and ("forward" in thing.called_by or bool(thing.called_by & scope.attributes))
    return thing.name in scope.dotted


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _module(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _exports(root: Path) -> dict[str, str]:
    """What packages hand on: clicv2lite.widgets.MaskExplorer -> clicv2lite.widgets.mask.MaskExplorer."""
    return {
        f"{_module(root, path)}.{alias.asname or alias.name}": f"{node.module}.{alias.name}"
        for path in (root / PACKAGE).rglob("__init__.py")
        for node in ast.walk(_tree(path))  # those under TYPE_CHECKING too
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE)
        for alias in node.names
    }


def _bindings(tree: ast.AST, exports: dict[str, str]) -> dict[str, str]:
    """Local name -> dotted name, for what a file imports from the package."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                found[alias.asname or alias.name] = exports.get(dotted, dotted)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    found[alias.asname or PACKAGE] = alias.name if alias.asname else PACKAGE
    return found


def _scope(tree: ast.AST, bindings: dict[str, str], exports: dict[str, str]) -> Scope:
    scope = Scope()
    for node in ast.walk(tree):
        match node:
            case ast.Name():
                scope.names.add(node.id)
            case ast.arg():  # a fixture
                scope.names.add(node.arg)
            case ast.alias():
                scope.names.add(node.asname or node.name)
            case ast.Attribute():
                scope.attributes.add(node.attr)
                if dotted := _chain(node, bindings):
                    scope.dotted.add(exports.get(dotted, dotted))
    scope.dotted |= {bindings[name] for name in scope.names & bindings.keys()}
    return scope


def _chain(node: ast.expr, bindings: dict[str, str]) -> str:
    """`worlds.sample` -> "clicv2lite.data.worlds.sample"; "" if it does not start at an imported name."""
    if isinstance(node, ast.Name):
        return bindings.get(node.id, "")
    if isinstance(node, ast.Attribute) and (head := _chain(node.value, bindings)):
        return f"{head}.{node.attr}"
    return ""


def _defined(node: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top of a file binds, imports apart."""
    if isinstance(node, FUNCTION | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _closure(name: str, scopes: dict[str, Scope]) -> Scope:
    seen, todo, whole = {name}, [name], Scope()
    while todo:
        scope = scopes[todo.pop()]
        whole = Scope(whole.names | scope.names, whole.dotted | scope.dotted, whole.attributes | scope.attributes)
        new = (scope.names & scopes.keys()) - seen
        seen |= new
        todo += new
    return whole
