"""`clicv2lite results`: what it lists, and what it refuses."""

import pytest

from clicv2lite.evaluate.results import command
from tests.evaluate.results.conftest import entry


def test_list_has_a_line_for_each_experiment_and_what_is_kept(repository, capsys):
    repository.table(
        '[kept]\n"data/results/log.csv" = "by hand"\n'
        + entry("first", outputs=["data/results/x/first.json", "data/results/x/first.md"])
        + entry("b", "", 'after = ["first"]', 'asked = "x"')
    )
    (repository.root / "data/results/x").mkdir(parents=True)
    assert repository.results("--list") == 0
    assert capsys.readouterr().out.splitlines() == [
        "first  missing    1 min  data/results/x/{first.json,first.md}  (no data/results/x/first.json)",
        "b      missing    1 min  data/results/b.json  (no data/results/b.json; only if named)",
        "kept by hand:",
        "  data/results/log.csv: by hand",
    ]
    assert repository.results("--list", "b") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_list_makes_nothing_and_does_not_mind_changes(repository):
    repository.table(entry("a"))
    repository.write("clicv2lite/code.py", "changed")
    assert repository.results("--list") == 0
    assert not (repository.root / "runs").exists() and not (repository.root / "data/results").exists()


def test_reasons_are_printed_before_anything_starts(repository, capsys):
    repository.table(entry("a") + entry("b", "", 'after = ["a"]'))
    assert repository.results() == 0
    assert repository.results("b", "--force", "a") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("a: --force") :][:3] == ["a: --force", "b: a is made again", "2 to make, 2 min of one core"]
    repository.table(entry("a", "--reads job.py") + entry("b", "", 'after = ["a"]'))
    assert repository.results() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a: stale: its command was `python job.py --out {out} --name a`"
    assert lines[1:3] == ["b: a is made again", "2 to make, 2 min of one core"]


def test_adopt_makes_a_renamed_command_fresh(repository):
    repository.table(entry("a"))
    assert repository.results() == 0
    repository.table(entry("a", "--reads"))
    assert repository.results("--adopt", "a") == 0 and repository.results() == 0
    assert (repository.root / "runs/results/a.log").read_text().count("$ ") == 1


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nothing"], "results nothing: no experiment; --list names all"),
        (["--force", "fist"], "results fist: no experiment; first is one"),
        (["--jobs", "0"], "--jobs 0: give 1 or more"),
        (["--list", "--force", "nope", "--slurm", "print"], "--list makes nothing; leave --force and --slurm out"),
        (["--list", "--adopt", "first"], "--list makes nothing; leave --adopt out"),
        (["first", "--adopt", "first", "--only"], "--adopt makes nothing; leave --only and NAME out"),
    ],
)
def test_mistakes_are_one_line(repository, capsys, words, what):
    repository.table(entry("first"))
    assert repository.results(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"clicv2lite: {what}") and error.count("\n") == 1
    assert not (repository.root / "runs").exists()


def test_a_package_without_its_repository_makes_no_results(tmp_path, monkeypatch, repository, capsys):
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert repository.results() == 2
    assert f"results: {tmp_path} is no checkout of the repository" in capsys.readouterr().err
