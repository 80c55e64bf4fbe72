"""Sphinx extension: a chapter is executed again when something that its output depends on has changed, and only then.

jupyter-cache keys an executed notebook by its code alone. Here each record also carries a hash of the files that this code
reaches: the package's modules that it imports, the modules that those import, the data that they read; and of the locked
versions, Python's version and the extra data folder. A record with another hash is dropped before Sphinx asks for it. Chapters
without a record are executed two at a time before Sphinx reads the pages one by one. The tests of the chapters
(tests/notebooks/executed_once.py) make and read the same records, so that the book after them executes nothing.
"""

import ast
import hashlib
import os
import platform
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract
from jupyter_cache.executors.utils import ExecutionResult, single_nb_execution
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
PACKAGE = "clicv2lite"
KEY = "depends_on"  # in a record's data, beside myst-nb's execution_seconds
JOBS = int(os.environ.get("CLICV2LITE_JOBS", "2"))  # chapters executed at the same time, one thread each

LOGGER = logging.getLogger(__name__)
PARSING = threading.Lock()  # Python 3.11 may fail where two threads parse: "AST constructor recursion depth mismatch"


def chapter_files(notebook: Path, root: Path = ROOT) -> set[Path]:
    """The files of the project, the lock included, that the output of a notebook's code depends on.

    A module is reached by an import anywhere in a reached file, or by its dotted name in a string (``cli.COMMANDS``; in a
    cell also ``python -m clicv2lite``). With it come the packages above it, the data files beside it, and the folders of
    data (``data/results``, ``clicv2lite/models``) whose name it holds in a string. Of the names that a module only hands on
    (``clicv2lite.widgets``), those that are asked for are followed. A package that goes through its
    ``__path__`` reaches all its files.
    """
    cells = (cell.source for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code")
    code = _mentions("".join(map(TransformerManager().transform_cell, cells)), "")  # !command: a call with a string
    named = {name for text in code.strings for name in re.findall(rf"\b{PACKAGE}\b(?:\.\w+)*", text)}
    pending = {*code.names, *named, *([f"{PACKAGE}.__main__"] if PACKAGE in named else [])}
    found = {root / "requirements.lock", *_data_folders(code.strings, root)}
    done: set[str] = set()
    while pending := pending - done:
        name = pending.pop()
        done.add(name)
        owner, _, last = name.rpartition(".")
        if path := _module_file(name, root):  # a module
            text = path.read_text(encoding="utf-8")
            module = _mentions(text, name if path.name == "__init__.py" else owner)
            lazy = {source.rpartition(".")[0] for _, source in module.handed_on}
            pending |= {owner, *module.names, *(text for text in module.strings - lazy if text.startswith(f"{PACKAGE}."))}
            if "iter_modules(__path__)" in text:  # a registry: it imports every file of its folder
                pending |= {f"{name}.{file.stem}" for file in path.parent.glob("*.py") if file != path}
            found |= {path, *_data_beside(path), *_data_folders(module.strings, root)}
        elif path := _module_file(owner, root):  # something in a module
            handed_on = _mentions(path.read_text(encoding="utf-8"), owner if path.name == "__init__.py" else "").handed_on
            pending |= {owner, *(source for alias, source in handed_on if last in (alias, "*"))}
        elif owner:  # an attribute of it
            pending.add(owner)
    return {path for path in found if path.is_file()}


def chapter_key(notebook: Path, root: Path = ROOT) -> str:
    """Hex digits that change with the files of :func:`chapter_files`, Python's version or the extra data folder."""
    digest = hashlib.sha256(f"{platform.python_version()}\0{os.environ.get('CLICV2LITE_DATA', '')}".encode())
    for path in sorted(chapter_files(notebook, root)):
        digest.update(f"\0{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _module_file(name: str, root: Path) -> Path | None:
    if name.partition(".")[0] != PACKAGE:
        return None
    base = root.joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


class _Mentions(NamedTuple):
    names: frozenset[str]  # dotted, what may be modules or something in one
    strings: frozenset[str]
    handed_on: frozenset[tuple[str, str]]  # alias, source: imported and named in a string (__all__), but not used


@cache  # most modules belong to several chapters
def _mentions(code: str, package: str) -> _Mentions:
    """What a module refers to; ``package`` is the one that holds it, for its relative imports."""
    with PARSING:
        nodes = list(ast.walk(ast.parse(code)))
    strings = frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    names, bound = set(), set()  # bound: alias, source
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            for alias in node.names:
                first = alias.name.partition(".")[0]
                bound.add((alias.asname, alias.name) if alias.asname else (first, first))
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            bound |= {(alias.asname or alias.name, f"{base}.{alias.name}") for alias in node.names}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    handed_on = frozenset((alias, source) for alias, source in bound if alias in strings and alias not in used)
    names |= {source for _, source in bound - handed_on}
    sources = defaultdict(set)
    for name, source in bound:
        sources[name].add(source)
    for node in nodes:
        name, _, rest = _dotted(node).partition(".")
        if rest:
            names |= {f"{source}.{rest}" for source in sources[name]}
    return _Mentions(frozenset(names), strings, handed_on)


def _dotted(node: ast.AST) -> str:
    """a.b.c as a string; empty for anything else."""
    if isinstance(node, ast.Attribute):
        start = _dotted(node.value)
        return start and f"{start}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _data_beside(module: Path) -> Iterator[Path]:
    """Files in a module's folder that are no Python, but not those with the name of another module: mask.js is mask.py's."""
    for path in module.parent.iterdir():
        owner = path.with_suffix(".py")
        if path.suffix != ".py" and not path.name.startswith(".") and (owner == module or not owner.is_file()):
            yield path


def _data_folders(names: frozenset[str], root: Path) -> Iterator[Path]:
    for folder in (path for top in ("data", PACKAGE) for path in (root / top).glob("*/")):
        if folder.name in names and not any(folder.rglob("*.py")):
            yield from (path for path in folder.rglob("*") if not path.name.startswith("."))


def _chapters(env: BuildEnvironment) -> dict[str, Path]:
    """Page -> notebook, for the pages that are executed."""
    paths = {name: Path(env.doc2path(name)) for name in sorted(env.found_docs)}
    return {name: path for name, path in paths.items() if path.suffix == ".ipynb"}


def _open(env: BuildEnvironment) -> JupyterCacheAbstract:
    return get_cache(env.mystnb_config.execution_cache_path)  # type: ignore[attr-defined]


def outdated(store: JupyterCacheAbstract, chapters: dict[str, Path], root: Path = ROOT) -> list[str]:
    """The chapters without a record of their present code and dependencies; a record of other dependencies is dropped."""
    names = []
    for name, path in chapters.items():
        try:
            record = store.match_cache_notebook(nbformat.read(path, as_version=4))
        except KeyError:
            names.append(name)
            continue
        if record.data.get(KEY) != chapter_key(path, root):
            store.remove_cache(record.pk)
            names.append(name)
    return names


def execute(
    store: JupyterCacheAbstract, paths: list[Path], timeout: int | None, root: Path = ROOT
) -> dict[Path, ExecutionResult]:
    """Execute notebooks in their own folders, ``JOBS`` at a time, and keep what ran to its end.

    Returns:
        Of those that did not: the error, and the notebook with the outputs until then; a cell never begun has no count.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the kernels inherit it; waiting threads of several would spin

    def run(path: Path) -> tuple[Path, str, ExecutionResult]:
        key = chapter_key(path, root)  # before the run: who edits a module meanwhile gets another one
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        try:
            result = single_nb_execution(
                notebook, cwd=str(path.parent), timeout=timeout, allow_errors=False, on_cell_execute=_begin
            )
            return path, key, result
        except DeadKernelError as error:
            return path, key, ExecutionResult(notebook, str(path.parent), 0, error)

    failed = {}
    with ThreadPoolExecutor(JOBS) as pool:
        for path, key, result in pool.map(run, paths):
            if result.err is None:
                data = {"execution_seconds": result.time, KEY: key}
                bundle = CacheBundleIn(result.nb, str(path), data=data)
                store.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                LOGGER.info("executed %s in %.0f s", path.name, result.time)
            else:  # myst-nb runs it again, and reports the error on its page
                failed[path] = result
    return failed


def _begin(cell: NotebookNode, cell_index: int) -> None:
    cell.execution_count = 0  # until the kernel says which: it may die first


def _find_outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    return outdated(_open(env), _chapters(env)) if app.config.nb_execution_mode == "cache" else []


def _execute_first(app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    if app.config.nb_execution_mode == "cache":
        store, chapters = _open(env), _chapters(env)
        wanted = outdated(store, {name: path for name, path in chapters.items() if name in pages})
        execute(store, [chapters[name] for name in wanted], app.config.nb_execution_timeout)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("env-get-outdated", _find_outdated)
    app.connect("env-before-read-docs", _execute_first)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
