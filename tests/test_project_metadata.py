"""What the project says of itself, in the package, CITATION.cff, the changelog and the workflows, agrees."""

import importlib.util
import re
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import clicv2lite
from clicv2lite.models.by_name import SHIPPED

ROOT = Path(__file__).parents[1]
ADDRESS = "https://github.com/Someone/clicv2lite"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CONFIGURED = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
STEPS = ("lint", "unit", "notebooks", "book", "browser")  # of `make test`


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metadata(root: Path = ROOT) -> ProjectMetadata:
    return ProjectMetadata(str(root), PluginManager())


def headers(text: str) -> Message:
    return HeaderParser().parsestr(text)


def links(text: str) -> list[str]:
    """Where a Markdown text's links and pictures lead."""
    return re.findall(r"\]\(([^)\s]+)\)", text)


def test_one_version_everywhere():
    assert metadata().core.version == clicv2lite.__version__ == CITATION["version"]


def test_the_licence_is_the_same_everywhere():
    assert PROJECT["license"] == CITATION["license"] == "MIT"
    assert not [line for line in PROJECT["classifiers"] if line.startswith("License")]  # the expression replaces it


def test_classifiers_start_at_the_oldest_python_that_installs_and_have_no_gap():
    minors = [int(line.rpartition(".")[2]) for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert PROJECT["requires-python"] == f">=3.{minors[0]}" and minors == list(range(minors[0], minors[-1] + 1))


def test_the_workflows_test_pythons_that_the_classifiers_name():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    pythons = workflow["jobs"]["package"]["strategy"]["matrix"]["python"]
    assert {f"Programming Language :: Python :: {python}" for python in pythons} <= set(PROJECT["classifiers"])


def test_the_citation_has_the_configured_address_and_no_other():
    assert CITATION.get("repository-code", "") == CONFIGURED


def test_the_packages_address_is_that_of_the_books_buttons(hook, monkeypatch):
    monkeypatch.delenv("CLICV2LITE_REPOSITORY", raising=False)
    assert hook.repository(ROOT)[0] == CONFIGURED.rstrip("/").removesuffix(".git")
    monkeypatch.setenv("CLICV2LITE_REPOSITORY", ADDRESS + ".git")
    assert hook.repository(ROOT)[0] == ADDRESS


def test_without_an_address_no_link_leads_nowhere(hook):
    assert hook.urls("", "main") == {"Paper": hook.PAPER}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert hook.readme(text, "", "main") == text


def test_an_address_gives_all_links_of_the_package(monkeypatch):
    monkeypatch.setenv("CLICV2LITE_REPOSITORY", ADDRESS)
    core = metadata().core
    assert core.urls == {
        "Paper": "https://arxiv.org/abs/2503.06641",
        "Repository": ADDRESS,
        "Issues": f"{ADDRESS}/issues",
        "Changelog": f"{ADDRESS}/blob/main/CHANGELOG.md",
        "Documentation": "https://someone.github.io/clicv2lite/",
    }
    assert core.readme_content_type == "text/markdown"
    assert [link for link in links(core.readme) if not link.startswith("https://")] == []


def test_other_hosts_get_no_page_of_github(hook):
    assert "Documentation" not in hook.urls("https://gitlab.com/someone/clicv2lite", "main")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[card](a/b.md)", f"[card]({ADDRESS}/blob/main/a/b.md)"),
        ("![two\nlines](a.png)", f"![two\nlines]({ADDRESS}/raw/main/a.png)"),
        ("[`code`](a.py), [b](b.py)", f"[`code`]({ADDRESS}/blob/main/a.py), [b]({ADDRESS}/blob/main/b.py)"),
        ("[paper](https://arxiv.org/abs/1) [here](#licence)", "[paper](https://arxiv.org/abs/1) [here](#licence)"),
    ],
)
def test_relative_links_of_the_readme_become_whole_and_others_stay(hook, line, expected):
    assert hook.readme(line, ADDRESS, "main") == expected


def test_every_relative_link_of_the_front_pages_leads_to_a_file():
    for name in ("README.md", "SECURITY.md", "CHANGELOG.md"):
        found = [link for link in links((ROOT / name).read_text(encoding="utf-8")) if not link.startswith(("https://", "#"))]
        assert [link for link in found if not (ROOT / link).exists()] == [], name


def test_the_changelog_has_the_form_that_the_release_cuts_its_page_from():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    sections = [line for line in lines if line.startswith("## ")]
    assert sections[0] == "## [Unreleased]"
    assert [line for line in sections[1:] if not re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line)] == []
    kinds = {line for line in lines if line.startswith("### ")}
    assert kinds <= {f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")}


def test_the_workflows_run_every_step_of_make_test():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"for step in {' '.join(STEPS)};" in makefile
    commands = re.findall(r"\bmake ([a-z -]+)$", (ROOT / ".github/workflows/test.yml").read_text(), re.MULTILINE)
    assert sorted(" ".join(commands).split()) == sorted([*STEPS, "unit-floor"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_only_ends_in_time_and_calls_targets_that_exist(path):
    workflow, text = yaml.safe_load(path.read_text()), path.read_text()
    assert workflow["permissions"] == {"contents": "read"} and "group" in workflow["concurrency"]
    assert all(job["timeout-minutes"] <= 90 for job in workflow["jobs"].values())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {word for line in re.findall(r"run: make ([a-z -]+)$", text, re.MULTILINE) for word in line.split()} <= targets


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[set[str], set[str], Message]:
    """Files of the sdist, files of the wheel that is built from it alone, and that wheel's headers."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLICV2LITE_REPOSITORY", ADDRESS)
        sdist = next(SdistBuilder(str(ROOT)).build(directory=str(folder)))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # not in Python 3.11.2
        files = {name.partition("/")[2] for name in archive.getnames()}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CLICV2LITE_REPOSITORY", raising=False)
        wheel = next(WheelBuilder(str(folder / Path(sdist).name.removesuffix(".tar.gz"))).build(directory=str(folder)))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        return files, names, headers(archive.read(info).decode())


def test_the_sdist_has_what_the_repository_is_made_of_and_nothing_else(built):
    files, _, _ = built
    tops = {name.partition("/")[0] for name in files}
    assert {"book", "clicv2lite", "data", "tests", "pyproject.toml", "README.md", "LICENSE", "hatch_build.py"} <= tops
    assert tops & {".venv", "_build", "dist", "runs", ".github"} == set()
    assert [name for name in files if re.search(r"__pycache__|\.ipynb_checkpoints|\.svg$", name) and "book/" not in name] == []


def test_a_wheel_from_the_sdist_has_types_weights_and_every_result_that_a_chapter_reads(built):
    _, names, _ = built
    weights = {f"clicv2lite/models/{model}/{part}.safetensors" for model in SHIPPED for part in ("encoder", "head")}
    assert {"clicv2lite/py.typed", *weights, "clicv2lite/models/lite/pretraining.safetensors"} <= names
    assert "clicv2lite/_results/tries.csv" in names
    stored = {path.relative_to(ROOT / "data" / "results").as_posix() for path in (ROOT / "data" / "results").rglob("*.*")}
    carried = {name.removeprefix("clicv2lite/_results/") for name in names if name.startswith("clicv2lite/_results/")}
    assert stored - carried == {name for name in stored if name.endswith(".svg")}
    chapters = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.ipynb"))
    assert not re.search(r"(table|fig)\d\.svg", chapters)


def test_a_wheel_from_the_sdist_keeps_the_addresses_of_the_sdist(built):
    _, _, found = built
    assert f"Repository, {ADDRESS}" in found.get_all("Project-URL", [])
    assert f"]({ADDRESS}/" in found.get_payload()
