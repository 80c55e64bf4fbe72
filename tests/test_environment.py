"""pyproject.toml, requirements.lock and environment.yml describe one environment: the one that the code imports."""

import importlib.metadata
import re
import subprocess
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
UNLOCKED = {"ray"}  # its tests are skipped where it is not installed
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def direct(project: dict) -> list[Requirement]:
    """Everything that pyproject.toml names, extras included; an extra that names others of ours adds nothing."""
    extras = project.get("optional-dependencies", {}).values()
    lines = (*project["dependencies"], *(line for extra in extras for line in extra))
    return [requirement for requirement in map(Requirement, lines) if requirement.name != "clicv2lite"]


def pins(lock: str) -> dict[str, Version]:
    """Package name -> pinned version; raises on a line that is not a plain pin with the digests of its files."""
    found = {}
    for line in lock.replace("\\\n", "").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"([\w.-]+)==(\S+)(?: ; .+?)?((?: +--hash=sha256:[0-9a-f]{64})*)\s*", line)
        if not match:
            raise ValueError(f"not a plain pin: {line!r}")
        if not match[3]:
            raise ValueError(f"a pin without a digest: {line!r}")
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
        if requirement.name in UNLOCKED:
            continue
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
    if nested != ["-r requirements.lock"]:  # pip takes no folder beside digests: postBuild installs the package
        problems.append(f"environment.yml installs {nested} with pip, not the lock")
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
        ({}, LOCK + "\nleftpad==1.0\n", CONDA, "a pin without a digest"),
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


@pytest.mark.posix
def test_make_setup_finds_its_installer_and_its_digests_in_the_lock():
    (program,) = re.findall(r"awk '([^']+)' requirements\.lock", (ROOT / "Makefile").read_text(encoding="utf-8"))
    call = ["awk", program.replace("$$", "$"), "requirements.lock"]
    found = subprocess.run(call, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    assert set(pins(found)) == {"uv"} and found.count("--hash=sha256:") > 10


def test_every_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    named = [line for line in lines if re.match(r'    "[\w.-]+(\[\w+\])?[=<>~!]', line)]
    assert len(named) == len(direct(PROJECT))
    assert [line for line in named if not re.search(r"#\s\S+", line)] == []


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not run in the environment that make setup built")
def test_installed_versions_are_the_locked_ones():
    # not all of sys.path: setuptools, once imported, adds the copies that it carries
    here = importlib.metadata.distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    installed = {canonicalize_name(d.metadata["Name"]): Version(d.version) for d in here}
    wrong = {name: (installed[name], want) for name, want in pins(LOCK).items() if installed.get(name, want) != want}
    assert wrong == {}
    assert all(canonicalize_name(r.name) in installed for r in direct(PROJECT) if r.name not in UNLOCKED)
