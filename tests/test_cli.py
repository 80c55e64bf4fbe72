import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clicv2lite
from clicv2lite import cli
from clicv2lite.cli import COMMANDS, main
from clicv2lite.errors import UserError


def in_a_process(*words):
    return subprocess.run(
        [sys.executable, "-m", "clicv2lite", *words], cwd=Path(clicv2lite.__file__).parents[1], capture_output=True, text=True
    )


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"clicv2lite: .+\n", err), err
    return err


def test_python_m_prints_the_version_without_importing_torch():
    done = in_a_process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"clicv2lite {clicv2lite.__version__}\n", "")
    code = "import sys, clicv2lite.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=Path(clicv2lite.__file__).parents[1], check=True)


def test_a_mistake_on_the_command_line_is_one_line_and_status_2():
    done = in_a_process("pretrian")
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert done.stderr.startswith("clicv2lite: ") and done.stderr.count("\n") == 1 and "pretrian" in done.stderr


def test_help_comes_without_importing_torch():
    code = "import sys\nfrom clicv2lite.cli import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    where = Path(clicv2lite.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: clicv2lite") and done.stderr == ""


def test_help_names_the_commands_of_the_contract_first_and_each_on_one_short_line(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines if re.match(r"  [a-z]", line)]
    assert named == list(COMMANDS) and named[:6] == ["score", "pretrain", "probe", "evaluate", "data", "bench"]
    assert all(len(line) <= 80 for line in lines)


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^\s+{name}\s+\w", out, re.M) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0 and f"usage: clicv2lite {name}" in capsys.readouterr().out


def options_of(parser):
    """Those of the subcommands, too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from options_of(one)
        elif action.option_strings:
            yield action


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_that_takes_a_list_and_is_given_twice_keeps_the_first_values(name):
    parser = argparse.ArgumentParser()
    cli.importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    for action in options_of(parser):
        if action.nargs in ("+", "*"):
            args = argparse.Namespace(**{action.dest: action.default})
            for value in ("a", "b"):
                action(parser, args, [value], action.option_strings[0])
            assert getattr(args, action.dest) == ["a", "b"], action.option_strings
            assert action.default in (None, []), "whoever names some wants these alone"


@pytest.mark.parametrize(
    "words, part",
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["--nonsense"], "COMMAND"),
        (["pretrain"], "--recipe"),
        (["pretrain", "--recipe", "ci", "--out", "x"], "--images"),
        (["pretrain", "--recipe", "ci", "--images", "embedded", "--out", "x", "--colour", "red"], "--colour"),
        (["pretrain", "--recipe", "ci", "--images", "embedded", "--out", "x", "--device", "abacus"], "abacus"),
        (["pretrain", "--recipe", "big", "--images", "embedded", "--out", "x"], "--recipe big"),
        (["pretrain", "--recipe", "ci", "--images", "embedded", "--out", "x", "--set", "sped=3"], "--set sped=3"),
        (["pretrain", "--recipe", "ci", "--images", "no/such/folder", "--out", "x"], "no/such/folder"),
        (["pretrain", "--recipe", "ci", "--images", "embedded", "--out", ""], "--out '': this is empty"),
        (["pretrain", "--recipe", "ci", "--images=", "--out", "x"], "--images '': this is empty"),
        (["score", "a.png", ""], "clicv2lite: '': this is empty"),
        (["probe", "--ratings", "", "--encoder", "default"], "--ratings '': this is empty"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(words, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert part in one_line(capsys)
    assert list(tmp_path.iterdir()) == []  # nothing half-written


@pytest.fixture
def command(monkeypatch):
    """A command `toy` whose run is a given function."""

    def install(run):
        module = type("Module", (), {"add_arguments": staticmethod(lambda parser: None), "run": staticmethod(run)})
        monkeypatch.setitem(cli.COMMANDS, "toy", ("toy", "a toy"))
        original = cli.importlib.import_module
        monkeypatch.setattr(cli.importlib, "import_module", lambda name: module if name == "toy" else original(name))

    return install


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_status_of_a_command_is_the_exit_status(command, status):
    command(lambda args: status)
    assert main(["toy"]) == status


def test_an_error_that_a_command_raises_is_printed(command, capsys):
    def fail(args):
        raise UserError("table.csv line 3: no score; write a number")

    command(fail)
    assert main(["toy"]) == 2
    assert one_line(capsys) == "clicv2lite: table.csv line 3: no score; write a number\n"


def test_a_fault_of_ours_is_not_hidden(command):
    def fail(args):
        raise ZeroDivisionError

    command(fail)
    with pytest.raises(ZeroDivisionError):
        main(["toy"])


class OutOfMemoryError(RuntimeError):
    """As torch's."""


@pytest.mark.parametrize("error", [
    MemoryError(), OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB). Tried to allocate 256.00 MB on private pool."),
    RuntimeError("CUDA error: out of memory"), RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `f`"),
])  # fmt: skip
def test_too_little_memory_is_one_line(command, capsys, error):
    def fail(args):
        raise error

    command(fail)
    assert main(["toy"]) == 2
    assert one_line(capsys) == "clicv2lite: not enough memory; end other programs, or take a machine with more of it\n"


@pytest.mark.parametrize("words, options", [
    (["score", "a.png"], "--batch-size or --jobs"),
    (["pretrain", "--recipe", "ci"], "--set micro=..."),
    (["norms", "--images", "a.png", "--name", "mine", "--out", "n.json"], "--jobs"),
    (["label-curve", "--encoder", "random", "--ratings", "r.csv"], None),
])  # fmt: skip
def test_too_little_memory_names_the_options_that_the_command_has(monkeypatch, tmp_path, capsys, words, options):
    def fail(args):
        raise MemoryError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(f"{COMMANDS[words[0]][0]}.run", fail)
    assert main(words) == 2
    assert one_line(capsys).startswith(f"clicv2lite: not enough memory; {f'lower {options}' if options else 'end other'}")


def test_another_runtime_error_is_a_fault_of_ours(command):
    def fail(args):
        raise RuntimeError("shapes differ")

    command(fail)
    with pytest.raises(RuntimeError):
        main(["toy"])


def test_an_interrupt_ends_with_status_130(command):
    def interrupted(args):
        raise KeyboardInterrupt

    command(interrupted)
    assert main(["toy"]) == 130


def test_a_reader_that_goes_away_is_no_error(command, monkeypatch):
    def broken(args):
        raise BrokenPipeError

    command(broken)
    with monkeypatch.context() as patched:  # pytest's own output stays
        patched.setattr(os, "dup2", lambda source, target: os.close(source))
        assert main(["toy"]) == 0


def test_words_default_to_those_of_the_process(command, monkeypatch):
    command(lambda args: 0)
    monkeypatch.setattr(sys, "argv", ["clicv2lite", "toy"])
    assert main() == 0


@pytest.mark.parametrize("error, line", [
    (OSError(28, "No space left on device", "/big/s.csv"), "/big/s.csv: the disk is full"),
    (PermissionError(13, "Permission denied", "two\nlines"), "two\\nlines: Permission denied"),
    (OSError("no number"), "no number"),
])  # fmt: skip
def test_an_error_of_the_system_is_one_line_that_names_the_file(command, capsys, error, line):
    def fail(args):
        raise error

    command(fail)
    assert main(["toy"]) == 2
    assert one_line(capsys) == f"clicv2lite: {line}; correct that and run the command again\n"


def in_a_shell(line, **environment):
    where = Path(clicv2lite.__file__).parents[1]
    variables = {**os.environ, "PYTHONPATH": str(where), **environment}
    python = f"'{sys.executable}' -m clicv2lite"
    return subprocess.run(line.format(c=python), shell=True, capture_output=True, text=True, env=variables)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_standard_output_is_one_line():
    done = in_a_shell("{c} results --list > /dev/full")
    assert done.returncode == 2 and done.stderr.startswith("clicv2lite: standard output: the disk is full")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="there nobody can delete a folder that someone is in")
def test_a_folder_that_was_deleted_is_one_line(tmp_path):
    done = in_a_shell(f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && {{c}} score a.jpg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("clicv2lite: the folder that you are in was deleted; change to another")
    assert done.stderr.count("\n") == 1


def test_closed_streams_are_empty_ones(tmp_path):
    done = in_a_shell("{c} score - <&-")
    assert done.returncode == 2 and done.stderr.startswith("clicv2lite: -: no name came from standard input")
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = in_a_shell(f"{{c}} score {tmp_path} {closed}")
        assert done.returncode == 2 and "Traceback" not in done.stdout + done.stderr


def test_a_letter_that_the_screen_does_not_have_is_an_escape():
    done = in_a_shell("{c} score /no/日本", PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and "\\u65e5\\u672c" in done.stdout and "Traceback" not in done.stderr
    code = "from clicv2lite import cli; cli._run = lambda words: print('日本') or 0; raise SystemExit(cli.main([]))"
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    where = Path(clicv2lite.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=where)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u65e5\\u672c\n", "")
