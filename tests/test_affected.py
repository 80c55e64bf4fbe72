"""`make check` runs the tests that a change asks for, says which, and never silently none. A made repository, made changes."""

import os
import subprocess

import pytest

from tests import check
from tests.affected import NoBase, changed, select

FILES = {
    ".gitignore": "runs/\n",
    "Makefile": "test:\n",
    "book/01_start.ipynb": "{}",
    "book/02_more.ipynb": "{}",
    "book/_ext/pages.py": "",
    "clicv2lite/__init__.py": "",
    "clicv2lite/errors.py": "class UserError(ValueError): ...",
    "clicv2lite/cli.py": 'COMMANDS = {"probe": "clicv2lite.probe.command"}',
    "clicv2lite/heads/__init__.py": "",
    "clicv2lite/heads/ridge.py": "from clicv2lite.errors import UserError",
    "clicv2lite/heads/icnet.py": "def fit(): ...",
    "clicv2lite/heads/bounds.json": "{}",
    "clicv2lite/probe/__init__.py": "",
    "clicv2lite/probe/task.py": "def task():\n    from clicv2lite.heads import ridge",
    "clicv2lite/probe/command.py": "from clicv2lite.probe.task import task",
    "clicv2lite/score/__init__.py": "",
    "clicv2lite/score/table.py": "def row(): ...",
    "tests/conftest.py": "",
    "tests/test_cli.py": "from clicv2lite import cli",
    "tests/test_errors.py": "from clicv2lite.errors import UserError",
    "tests/test_setup.py": "read('Makefile')",
    "tests/heads/conftest.py": "",
    "tests/heads/test_ridge.py": "from clicv2lite.heads.ridge import UserError",
    "tests/heads/test_icnet.py": "from clicv2lite.heads.icnet import fit",
    "tests/probe/shards.py": "",
    "tests/probe/test_command.py": "from clicv2lite.cli import COMMANDS",
    "tests/probe/test_task.py": "from clicv2lite.probe.task import task\nfrom tests.probe import shards",
    "tests/score/test_table.py": "from clicv2lite.score import table",
    "tests/notebooks/test_pages.py": "",
    "tests/browser/test_open.py": "from clicv2lite.heads.ridge import UserError",
}


class Repository:
    def __init__(self, root):
        self.root = root
        self.git("init", "--quiet", "--initial-branch=main")
        self.write(FILES)
        self.commit()
        self.git("checkout", "--quiet", "-b", "work")

    def git(self, *words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "diff.renames=copies"]
        subprocess.run(["git", "-C", str(self.root), *who, *words], check=True, capture_output=True)

    def write(self, files):
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")

    def asked(self, since="main"):
        """Tests, the nearest first, and chapters."""
        selection = select(self.root, changed(self.root, since)[1])
        return [test.removeprefix("tests/") for test in selection.tests], selection.chapters


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


OF_RIDGE = ["heads/test_ridge.py", "heads/test_icnet.py", "probe/test_task.py", "probe/test_command.py"]
OF_HEADS = ["heads/test_icnet.py", "heads/test_ridge.py", "probe/test_command.py", "probe/test_task.py"]
BESIDE = ["test_cli.py", "test_errors.py", "test_setup.py"]


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("clicv2lite/heads/ridge.py", OF_RIDGE),
        ("clicv2lite/heads/bounds.json", OF_HEADS),
        ("clicv2lite/score/table.py", ["score/test_table.py"]),
        ("clicv2lite/score/new.py", ["score/test_table.py"]),
        ("clicv2lite/cli.py", ["test_cli.py", "probe/test_command.py", "test_errors.py", "test_setup.py"]),
        ("clicv2lite/errors.py",
         ["test_errors.py", "heads/test_ridge.py", "test_cli.py", "test_setup.py", "probe/test_task.py",
          "heads/test_icnet.py", "probe/test_command.py"]),
        ("tests/heads/test_icnet.py", ["heads/test_icnet.py"]),
        ("tests/score/test_new.py", ["score/test_new.py"]),
        ("tests/heads/conftest.py", ["heads/test_icnet.py", "heads/test_ridge.py"]),
        ("tests/probe/shards.py", ["probe/test_task.py", "probe/test_command.py"]),
        ("tests/conftest.py", BESIDE),
        ("pyproject.toml", BESIDE),
        ("Makefile", ["test_setup.py", "test_cli.py", "test_errors.py"]),
        (".github/workflows/test.yml", BESIDE),
        ("book/_ext/pages.py", ["notebooks/test_pages.py", *BESIDE]),
        ("data/results/made.json", ["notebooks/test_pages.py", *BESIDE]),
        ("runs/ignored.py", []),
    ],
)  # fmt: skip
def test_a_change_asks_for_the_nearest_tests_first(repository, name, tests):
    repository.write({name: "# changed"})
    assert repository.asked() == (tests, [])


def test_an_import_that_a_change_takes_away_is_not_followed_and_one_that_it_brings_is(repository):
    repository.write(
        {"clicv2lite/probe/task.py": "def task(): ...", "clicv2lite/score/table.py": "from clicv2lite.heads import ridge"}
    )
    repository.commit()
    repository.git("branch", "--force", "main")
    repository.write({"clicv2lite/heads/ridge.py": "# changed"})
    assert repository.asked()[0] == ["heads/test_ridge.py", "heads/test_icnet.py", "score/test_table.py"]


@pytest.mark.parametrize("staged", [False, True])
def test_a_module_that_is_renamed_or_deleted_asks_for_those_that_still_import_it(repository, staged):
    (repository.root / "clicv2lite/heads/ridge.py").rename(repository.root / "clicv2lite/heads/linear.py")
    if staged:
        repository.git("add", "--all")
    assert repository.asked()[0] == OF_RIDGE
    assert changed(repository.root, "main")[1] == ["clicv2lite/heads/linear.py", "clicv2lite/heads/ridge.py"]
    (repository.root / "clicv2lite/heads/linear.py").unlink()
    assert repository.asked()[0] == OF_RIDGE


def test_a_room_that_is_gone_asks_for_the_rooms_that_still_import_it(repository):
    for name in ("heads/__init__.py", "heads/ridge.py", "heads/icnet.py", "heads/bounds.json"):
        (repository.root / "clicv2lite" / name).unlink()
    assert {"heads/test_ridge.py", "heads/test_icnet.py", "probe/test_task.py"} <= set(repository.asked()[0])


def test_a_test_that_is_gone_is_not_run_and_its_folder_is(repository):
    (repository.root / "tests/heads/test_ridge.py").unlink()
    assert repository.asked()[0] == ["heads/test_icnet.py"]


def test_changed_chapters_are_run_and_deleted_ones_are_not(repository):
    repository.write({"book/01_start.ipynb": "{ }"})
    (repository.root / "book/02_more.ipynb").unlink()
    assert repository.asked() == (["notebooks/test_pages.py", *BESIDE], ["book/01_start.ipynb"])


def test_what_the_branch_has_committed_counts_and_what_main_has_since_does_not(repository):
    repository.write({"clicv2lite/score/table.py": "# changed"})
    repository.commit()
    repository.git("checkout", "--quiet", "main")
    repository.write({"clicv2lite/heads/ridge.py": "# changed elsewhere"})
    repository.commit()
    repository.git("checkout", "--quiet", "work")
    assert repository.asked() == (["score/test_table.py"], [])
    assert repository.asked("HEAD") == ([], [])
    repository.write({"tests/heads/test_new.py": ""})
    assert repository.asked("HEAD") == (["heads/test_new.py"], [])


def run(repository, monkeypatch, *words, status=0):
    """The commands of pytest that `make check` starts, and its exit status."""
    commands = []
    monkeypatch.setattr(check, "ROOT", repository.root)
    monkeypatch.setattr(check.subprocess, "call", lambda command, env: commands.append(command[3:]) or status)
    monkeypatch.setattr("sys.argv", ["check", *words])
    return check.main(), commands


def test_one_line_says_what_is_run_and_why_and_what_is_not(repository, monkeypatch, capsys):
    repository.write({"clicv2lite/heads/ridge.py": "# changed", "book/01_start.ipynb": "{ }"})
    (repository.root / "tests/score/test_table.py").write_text("# changed")
    status, (tests, chapters) = run(repository, monkeypatch, "--jobs", "3", status=1)
    assert status == 1
    assert [word for word in tests if word.startswith("tests/")][:2] == [
        "tests/score/test_table.py",
        "tests/heads/test_ridge.py",
    ]
    assert tests[tests.index("-n") + 1] == "3" and chapters[-1] == "book/01_start.ipynb"
    said = capsys.readouterr().out.strip()
    assert "\n" not in said
    assert said.startswith("book/01_start.ipynb, clicv2lite/heads/ridge.py, tests/score/test_table.py changed since main (")
    for reason in ("1 changed", "1 with the name of a changed file", "1 importing what", "1 of rooms", "chapters 01_start"):
        assert reason in said.partition("left out")[0]
    assert "left out: 1 test files, the book and its browser tests (make test)" in said


def test_more_chapters_than_there_is_time_for_are_left_out_by_name(repository, monkeypatch, capsys):
    repository.write({f"book/{name}.ipynb": "{ }" for name in ("01_start", "02_more", "03_new")})
    status, commands = run(repository, monkeypatch)
    assert status == 0 and len(commands) == 1 and not any(".ipynb" in word for word in commands[0])
    assert "the changed chapters 01_start, 02_more, 03_new (make notebooks)" in capsys.readouterr().out.partition("left out")[2]


def test_nothing_changed_is_said(repository, monkeypatch, capsys):
    assert run(repository, monkeypatch, "--since", "HEAD") == (0, [])
    assert capsys.readouterr().out.startswith("nothing differs from HEAD (")


def test_nothing_to_compare_with_is_one_line(repository, monkeypatch, capsys, tmp_path_factory):
    assert run(repository, monkeypatch, "--since", "no-such") == (2, [])
    said = capsys.readouterr().err
    assert said.startswith("make check: SINCE=no-such: ") and said.count("\n") == 1
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path_factory.getbasetemp()))
    with pytest.raises(NoBase, match="not a git repository"):
        changed(tmp_path_factory.mktemp("none"), "main")


class Outcomes:
    def __init__(self):
        self.found = []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            self.found.append((report.nodeid.partition("::")[0], report.outcome))


@pytest.mark.posix  # /dev/null
@pytest.mark.parametrize(("seconds", "outcome"), [(3600, "passed"), (-1, "skipped")])
def test_tests_run_in_the_order_given_until_the_time_is_over(tmp_path, monkeypatch, seconds, outcome):
    for name in ("a", "b", "c"):
        (tmp_path / f"test_{name}.py").write_text("def test(): pass")
    monkeypatch.setenv(check.TIME, str(seconds))
    outcomes, order = Outcomes(), ["test_b.py", "test_c.py", "test_a.py"]
    options = [
        "-q",
        "--import-mode=importlib",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faulthandler",
    ]
    assert pytest.main([*options, *(str(tmp_path / name) for name in order)], plugins=[check, outcomes]) == 0
    assert outcomes.found == [(name, outcome) for name in order]
