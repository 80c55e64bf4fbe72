"""The peers' environment: made once, made again when it is broken or was interrupted, never over somebody's files."""

import importlib.metadata
import json
import re
import sys

import pytest

from clicv2lite.bench.peers import environment
from clicv2lite.bench.peers.environment import RECORD, SOURCE, TOPICS, call, prepare, python_of, recorded, requirements, why
from clicv2lite.errors import UserError

OFFLINE = """error: Failed to fetch: `https://user:secret@index.example/simple/torch/`
  Caused by: Request failed after 3 retries
  Caused by: dns error: failed to lookup address information: Temporary failure in name resolution"""
PINS = """  × No solution found when resolving dependencies:
  ╰─▶ Because all versions of solo-learn depend on torchvision==0.10.1, your requirements are unsatisfiable."""


class Installer:
    """Stands for uv or pip. `refuses`: a word of a command line -> what is said then."""

    def __init__(self, refuses=None):
        self.refuses, self.calls = refuses or {}, []

    def __call__(self, words):
        self.calls.append(list(words))
        for word, said in self.refuses.items():
            if word in words:
                return 1, said
        return 0, ""

    @property
    def made(self):
        return sum("venv" in words for words in self.calls)

    @property
    def peers(self):
        return [word for words in self.calls for word in words if word in sum(TOPICS.values(), ())]


@pytest.fixture(autouse=True)
def small_package(tmp_path, monkeypatch):
    package = tmp_path / "clicv2lite"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("here = True")
    (package / "__pycache__" / "old.pyc").write_bytes(b"")
    monkeypatch.setattr(environment, "PACKAGE", package)
    monkeypatch.setattr(environment.shutil, "which", lambda name: "uv")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "peers"


def test_it_is_made_once_and_gets_each_peer_once(folder):
    first, second, third = Installer(), Installer(), Installer()
    assert prepare(folder, ["loss"], first, say=lambda line: None) == {}
    assert prepare(folder, ["loss"], second, say=lambda line: None) == {}
    assert prepare(folder, ["loss", "input"], third, say=lambda line: None) == {}
    assert (first.made, second.made, third.made) == (1, 0, 0)
    assert [each.peers for each in (first, second, third)] == [["lightly", "pytorch-metric-learning"], [], ["webdataset"]]
    assert recorded(folder)["complete"]
    assert (folder / SOURCE / "clicv2lite" / "__init__.py").read_text() == "here = True"
    assert not (folder / SOURCE / "clicv2lite" / "__pycache__").exists()


def test_each_installation_keeps_the_torch_of_this_process(folder):
    installer = Installer()
    prepare(folder, ["step"], installer, say=lambda line: None)
    pins = {f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in ("torch", "torchvision")}
    assert all(pins < set(words) for words in installer.calls if "install" in words) and installer.calls


def test_the_requirements_are_ours_without_ourselves():
    names = [re.split(r"[^\w.-]", line)[0] for line in requirements()["packages"]]
    assert {"torch", "torchvision", "timm", "simplejpeg", "psutil", "numpy", "scikit-image"} <= set(names)
    assert "clicv2lite" not in names and "jupyterlab" not in names


def test_a_checkout_that_is_not_installed_is_one_line(folder, monkeypatch):
    def unknown(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(environment.importlib.metadata, "requires", unknown)
    with pytest.raises(UserError, match=r"^--peers: clicv2lite is not installed"):
        prepare(folder, ["input"], Installer(), say=lambda line: None)
    assert not folder.exists()


def test_pip_is_used_where_there_is_no_uv(folder, monkeypatch):
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    installer = Installer()
    prepare(folder, ["input"], installer, say=lambda line: None)
    assert installer.calls[0][:4] == [sys.executable, "-I", "-m", "venv"]
    assert installer.calls[1][:5] == [str(python_of(folder)), "-I", "-m", "pip", "install"]


@pytest.mark.parametrize("break_it", ["interrupted", "broken", "unreadable", "other python"])
def test_a_broken_one_is_made_again(folder, break_it):
    prepare(folder, ["input"], Installer(), say=lambda line: None)
    record, installer = folder / RECORD, Installer()
    known = json.loads(record.read_text())
    (folder / "venv").mkdir(exist_ok=True)
    (folder / "venv" / "half").write_text("")
    if break_it == "interrupted":
        record.write_text(json.dumps(known | {"complete": False}))
    elif break_it == "broken":
        installer.refuses = {environment.WORKS: "ImportError"}
    elif break_it == "unreadable":
        record.write_text('{"own"')
    else:
        record.write_text(json.dumps(known | {"own": known["own"] | {"python": "3.9"}}))
    assert prepare(folder, ["input"], installer, say=lambda line: None) == {}
    assert installer.made == 1 and not (folder / "venv" / "half").exists() and recorded(folder)["complete"]


def test_an_interruption_is_seen_by_the_next_run(folder):
    class Interrupted(Installer):
        def __call__(self, words):
            if "webdataset" in words:
                raise KeyboardInterrupt
            return super().__call__(words)

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, ["input"], Interrupted(), say=lambda line: None)
    assert not recorded(folder)["complete"]
    again = Installer()
    prepare(folder, ["input"], again, say=lambda line: None)
    assert again.made == 1


def test_no_network_is_one_line_without_an_address(folder):
    with pytest.raises(UserError) as error:
        prepare(folder, ["input"], Installer({"install": OFFLINE}), say=lambda line: None)
    reason = "the package index cannot be reached; connect this machine to it, and run the command again"
    assert str(error.value) == f"--peers: no environment in {folder}: {reason}"
    later = Installer()
    prepare(folder, ["input"], later, say=lambda line: None)  # and nothing is in the way when it is back
    assert later.made == 1


def test_a_peer_that_does_not_install_is_named_and_the_others_go_on(folder):
    installer, said = Installer({"solo-learn": PINS}), []
    refused = prepare(folder, ["step", "input"], installer, say=said.append)
    assert set(refused) == {"solo-learn"}
    assert refused["solo-learn"].endswith(
        "Because all versions of solo-learn depend on torchvision==0.10.1, your requirements are unsatisfiable."
    )
    assert recorded(folder)["peers"] == {"lightly": "", "webdataset": "", "solo-learn": refused["solo-learn"]}
    assert prepare(folder, ["step"], Installer(), say=said.append) == {}  # tried again, and now it installs


def test_a_licence_is_said_before_it_is_installed(folder):
    said = []
    prepare(folder, ["score"], Installer(), say=said.append)
    assert "installing pyiqa, whose licence forbids commercial use" in said


def test_files_of_others_stay(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    installer = Installer()
    with pytest.raises(UserError, match="this folder holds other files; name an empty or a new one"):
        prepare(folder, ["input"], installer, say=lambda line: None)
    assert installer.calls == [] and (folder / "thesis.tex").read_text() == "mine"


def test_a_file_beside_the_environment_stays(folder):
    prepare(folder, ["input"], Installer(), say=lambda line: None)
    (folder / "note.txt").write_text("mine")
    prepare(folder, ["input"], Installer({environment.WORKS: "broken"}), say=lambda line: None)
    assert (folder / "note.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "said",
    [
        OFFLINE,
        "WARNING: NewConnectionError: [Errno -3] Temporary failure in name resolution\nERROR: No matching distribution",
        "error: operation timed out",
        "Caused by: tcp connect error: Network is unreachable (os error 101)",
    ],
)
def test_network_errors_are_known_in_the_words_of_uv_and_pip(said):
    assert why(said).startswith("the package index cannot be reached")


def test_other_reasons_are_told_without_addresses():
    told = why("error: bad wheel at https://user:secret@index.example/x.whl\nhint: none")
    assert told == "error: bad wheel at (an address) hint: none"
    assert (
        why("WARNING: old\nERROR: networkx and connector do not fit\n[notice] new")
        == "ERROR: networkx and connector do not fit"
    )
    assert "solo-learn depend on torchvision" in why(PINS) and why("") == "it said nothing"


def test_call_gives_status_and_words():
    assert call([sys.executable, "-c", "import sys; sys.exit('no')"]) == (1, "no\n")
    status, said = call(["no-such-program-anywhere"])
    assert status == 1 and "no-such-program-anywhere" in said
