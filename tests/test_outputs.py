import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clicv2lite import cli, outputs
from clicv2lite.cli import COMMANDS, main
from clicv2lite.errors import UserError
from clicv2lite.outputs import Output, check_is_no_output, claimed, locked

HOLD = "import sys, time\nfrom pathlib import Path\nfrom clicv2lite.outputs import locked\n"
HOLD += (
    "with locked(Path(sys.argv[1]), '--csv', sys.argv[2] == 'folder'):\n    print('held', flush=True)\n    time.sleep(600)\n"
)


@pytest.fixture
def holder():
    """Start a process that holds the lock of a path, and return it."""
    started = []

    def hold(path, folder=False):
        words = [sys.executable, "-c", HOLD, str(path), "folder" if folder else "file"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(cli.__file__).parents[1])
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("folder", [False, True])
def test_who_writes_a_path_is_named_and_a_killed_process_holds_nothing(tmp_path, holder, folder):
    path = tmp_path / "s.csv"
    if folder:
        path.mkdir()
    process = holder(path, folder)
    with pytest.raises(UserError, match=rf"--csv .*s.csv: process {process.pid} on .+, since .+, is writing it; wait"):  # noqa: SIM117
        with locked(path, "--csv", folder):
            pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with locked(path, "--csv", folder):
        pass
    assert not (list(path.iterdir()) if folder else list(tmp_path.iterdir()))  # and nothing lies about


def test_where_there_can_be_no_lock_the_command_goes_on_without_one(tmp_path, monkeypatch):
    def none(*_, **__):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(outputs.filelock.FileLock, "acquire", none)
    with locked(tmp_path / "s.csv"):
        assert list(tmp_path.iterdir()) == []


def test_only_the_first_rank_of_torchrun_locks(tmp_path, holder, monkeypatch):
    (tmp_path / "run").mkdir()
    holder(tmp_path / "run", folder=True)
    monkeypatch.setenv("RANK", "1")
    with claimed([Output("--out", tmp_path / "run", folder=True)]):
        pass
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="is writing it"), claimed([Output("--out", tmp_path / "run", folder=True)]):
        pass


def test_what_a_killed_run_left_is_removed_once_its_output_is_locked(tmp_path):
    kept = [tmp_path / ".other.csv.0123abcd.tmp", tmp_path / ".s.csv.notes.tmp"]
    for path in (*kept, tmp_path / ".s.csv.0123abcd.tmp"):
        path.touch()
    with claimed([Output("--csv", tmp_path / "s.csv")]):
        assert {path.name for path in tmp_path.iterdir()} == {*(path.name for path in kept), ".s.csv.lock"}


def test_folders_that_nothing_was_written_to_are_taken_back(tmp_path):
    (tmp_path / "there").mkdir()
    wanted = [Output("--out", tmp_path / "new" / "run", folder=True), Output("--json", tmp_path / "there" / "r.json")]
    with pytest.raises(ZeroDivisionError), claimed(wanted):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def names_of(path, tmp_path):
    """Other names of one file."""
    (tmp_path / "link").symlink_to(path)
    os.link(path, tmp_path / "hard")
    (tmp_path / "folder link").symlink_to(path.parent)
    names = ("link", "hard", f"folder link/{path.name}", f"{path.parent.name}/x/../{path.name}")
    return [path, *(tmp_path / name for name in names)]


def test_an_input_is_refused_by_whatever_name_and_left_as_it_was(tmp_path):
    (tmp_path / "in" / "x").mkdir(parents=True)
    source = tmp_path / "in" / "ratings"
    source.write_text("image,score\n")
    for name in names_of(source, tmp_path):
        with pytest.raises(UserError, match=r"--json .*this file is read"), claimed([Output("--json", name)], [source]):
            pass
    assert source.read_text() == "image,score\n"


@pytest.mark.parametrize("name, allowed", [
    ("encoder.safetensors", False), ("photo", False), ("photo.JPG", False), ("config.json", False), ("model.onnx", True),
    ("old.json", True), ("other.json", False), ("new.json", True),
])  # fmt: skip
def test_in_a_folder_that_is_read_only_results_are_replaced(tmp_path, name, allowed):
    for file in ("encoder.safetensors", "photo", "photo.JPG", "model.onnx"):
        (tmp_path / file).write_bytes(b"x")
    (tmp_path / "old.json").write_text('{"command": "clicv2lite probe --seed 1"}')
    (tmp_path / "config.json").write_text('{"command": "clicv2lite probe --seed 1"}')
    (tmp_path / "other.json").write_text('{"command": "clicv2lite evaluate"}')
    wanted = claimed([Output("--json", tmp_path / name)], [tmp_path], "probe")
    if allowed:
        with wanted:
            pass
    else:
        with pytest.raises(UserError, match=r"in the folder .* which is read"), wanted:
            pass


def test_two_outputs_are_not_one_file(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").symlink_to("a")
    for other in ("a", "b", "none/../a"):
        (tmp_path / "none").mkdir(exist_ok=True)
        both = [Output("--json", tmp_path / "a"), Output("--tsne", tmp_path / other)]
        with pytest.raises(UserError, match=r"--tsne .*--json writes the same file"), claimed(both):
            pass


def test_a_file_read_later_is_no_output_either(tmp_path):
    (tmp_path / "photo").touch()
    check_is_no_output(tmp_path / "photo", "r.csv line 2")  # no command is running
    refused = pytest.raises(UserError, match=r"--json .*photo: this file is read by the command \(r.csv line 2\)")
    with claimed([Output("--json", tmp_path / "photo")]), refused:
        check_is_no_output(tmp_path / "photo", "r.csv line 2")
    check_is_no_output(tmp_path / "photo", "r.csv line 2")


def declared(name):
    """A command's parser, and its options that write."""
    module = cli.importlib.import_module(COMMANDS[name][0])
    parser = cli.argparse.ArgumentParser()
    module.add_arguments(parser)
    parsers = [parser]
    for action in parser._actions:
        parsers += action.choices.values() if isinstance(action, cli.argparse._SubParsersAction) else []
    return [(p, {option for option, *_ in p.get_default("outputs") or ()}) for p in parsers]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_writes_is_declared_as_an_output(name):
    for parser, options in declared(name):
        for action in parser._actions:
            writes = re.search(r"\bwrite|output|\bfolder of the run\b|keep it|keep finished", action.help or "")
            if writes and action.type is Path:
                assert set(action.option_strings) & options, action.option_strings


WORDS = {
    "score": ["IN"], "probe": ["--encoder", "random", "--ratings", "IN"], "data": ["pack", "--images", "IN"],
    "evaluate": ["--suite", "fig5", "--ratings", "IN"], "measures": ["--ratings", "IN"], "handcrafted": ["--ratings", "IN"],
    "supervised": ["--model", "icnet", "--ratings", "IN"], "imagenet-features": ["--ratings", "IN"],
    "pairs": ["--images", "IN"], "invariance": ["--encoder", "random", "--ratings", "IN"],
    "label-curve": ["--encoder", "random", "--ratings", "IN"], "claims": ["--suites", "IN"],
    "onnx": ["--model", "IN"], "bench-score": ["--images", "IN"], "bench": [], "bench-memory": [],
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in WORDS if name != "data"])
def test_no_command_replaces_an_input_or_a_device_or_a_locked_file(name, tmp_path, holder, capsys):
    source, free = tmp_path / "input", tmp_path / "free"
    source.write_text("precious")
    os.mkfifo(tmp_path / "pipe")
    words = [name, *(str(source) if word == "IN" else word for word in WORDS[name])]
    options = sorted({option for _, options in declared(name) for option in options} & {"--json", "--csv", "--html", "--tsne"})
    options = options or ["--out"]
    process = holder(free)
    for option in options:
        more = ["--top", "3"] if option == "--html" else []
        targets = {
            tmp_path / "pipe": "not a regular file",
            "/dev/null": "not a regular file",
            free: f"process {process.pid} on",
        }
        for target, message in (targets | ({source: "this file is read"} if "IN" in WORDS[name] else {})).items():
            assert main([*words, option, str(target), *more]) == 2
            error = capsys.readouterr().err
            assert message in error and error.startswith(f"clicv2lite: {option} {target}: ") and error.count("\n") == 1
    assert source.read_text() == "precious" and not free.exists() and not os.path.isfile("/dev/null")


def test_two_commands_on_one_folder_are_refused(tmp_path, holder, capsys):
    out = tmp_path / "run"
    out.mkdir()
    process = holder(out, folder=True)
    for words in (
        ["pretrain", "--recipe", "ci", "--images", "embedded"],
        ["probe", "--encoder", "random", "--ratings", "r.csv"],
        ["evaluate", "--suite", "fig5"],
    ):
        assert main([*words, "--out", str(out)]) == 2
        assert f"process {process.pid} on" in capsys.readouterr().err
    assert (
        main(["pretrain", "--recipe", "ci", "--images", "embedded", "--out", str(out), "--dry-run"]) == 0
    )  # it writes nothing


def test_a_lock_names_its_process_also_while_others_ask(tmp_path, holder):
    process = holder(tmp_path / "s.csv")
    for _ in range(3):
        with pytest.raises(UserError, match=f"process {process.pid}"), locked(tmp_path / "s.csv"):
            pass
    about = json.loads((tmp_path / ".s.csv.lock").read_bytes()[1:])
    assert about["pid"] == process.pid and time.strptime(about["since"], "%Y-%m-%d %H:%M:%S")
