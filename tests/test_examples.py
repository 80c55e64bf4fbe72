"""The examples in docstrings: each one runs, and the functions that readers use most have one that can be pasted."""

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[1] / "clicv2lite"
MOST_USED = {
    "clicv2lite.data.sources.open_images",
    "clicv2lite.heads.ridge.fit_ridge",
    "clicv2lite.method.entropy.patch_entropy",
    "clicv2lite.method.infonce.infonce",
    "clicv2lite.method.masking.random_mask",
    "clicv2lite.method.patches.patchify",
    "clicv2lite.method.patches.shift",
    "clicv2lite.method.patches.unpatchify",
    "clicv2lite.method.views.make_views",
    "clicv2lite.models.by_name.load_encoder",
    "clicv2lite.models.model.Model.score",
    "clicv2lite.models.model.load_model",
    "clicv2lite.models.regressor.ComplexityRegressor",
    "clicv2lite.probe.metrics.pcc",
    "clicv2lite.recipes.library.get_recipe",
}


def modules() -> Iterator[tuple[str, ModuleType | str]]:
    """Name and module, or the reason why it cannot be imported, of each file with an example; the others are not imported."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
            try:
                yield name, importlib.import_module(name)
            except ImportError as error:  # a package of an optional extra
                yield name, str(error)


def examples() -> Iterator:
    for name, module in modules():
        if isinstance(module, str):
            yield pytest.param(None, id=name, marks=pytest.mark.skip(reason=f"{name}: {module}"))
            continue
        for test in doctest.DocTestFinder().find(module):
            if test.examples:
                yield pytest.param(test, id=test.name)


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_prints_what_it_says(example):
    if example.name in MOST_USED:
        example.globs = {}  # as pasted into a new session: nothing of the module is there
    report: list[str] = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert not report, "".join(report)


def test_the_most_used_functions_have_an_example():
    assert MOST_USED - {param.id for param in EXAMPLES} == set()


def test_examples_are_short():
    long = {param.id for param in EXAMPLES if param.values[0] and len(param.values[0].examples) > 5}
    assert long == set()
