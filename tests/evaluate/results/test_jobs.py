"""Experiments run: at once, one after another, alone; they fail, are stopped, are killed, and go on."""

import json
import os
import signal

import pytest
from PIL import Image

from clicv2lite.evaluate.results.record import read_record
from clicv2lite.files import atomic
from tests.evaluate.results.conftest import entry, git, wait_for

pytestmark = pytest.mark.posix  # locks, signals, bash

SLOW = entry("slow", "--until runs/go", 'keeps = ["starts"]')


def stored(repository, name):
    return json.loads((repository.root / f"data/results/{name}.json").read_text())


def there(repository):
    return sorted(path.name for path in (repository.root / "data/results").glob("*.json"))


def test_what_is_made_lies_in_its_place_and_a_second_call_makes_nothing(repository, capsys):
    repository.table(entry("a") + entry("b", "--reads data/results/a.json", 'after = ["a"]'))
    assert repository.results() == 0
    assert there(repository) == ["a.json", "b.json", "made.json"]
    assert json.loads(stored(repository, "b")["read"][0])["starts"] == 1
    assert set(read_record(repository.root)) == {"a", "b"}
    capsys.readouterr()
    assert repository.results() == 0
    assert capsys.readouterr().out == "0 to make, 0 min of one core\n"
    assert stored(repository, "a")["starts"] == 1


def test_a_failure_stops_only_what_depends_on_it(repository, capsys):
    repository.table(
        entry("bad", "--meet good --status 1")
        + entry("good", "--meet bad")  # which proves that two run at once
        + entry("of-bad", "", 'after = ["bad"]')
        + entry("of-of-bad", "", 'after = ["of-bad"]')
        + entry("of-good", "", 'after = ["good"]')
    )
    assert repository.results("--jobs", "2") == 1
    assert there(repository) == ["good.json", "made.json", "of-good.json"]
    assert capsys.readouterr().err.splitlines() == [
        "clicv2lite: bad: exit status 1: bad cannot be made (see runs/results/bad.log)",
        "clicv2lite: of-bad: not started, for it needs bad",
        "clicv2lite: of-of-bad: not started, for it needs of-bad",
    ]
    assert repository.results("--jobs", "2") == 1  # and only what failed is tried again
    assert stored(repository, "good")["starts"] == 1


def test_what_measures_time_runs_alone_and_what_shares_a_folder_one_by_one(repository):
    repository.table(
        entry("timed", '--run "sleep 1"', "alone = true")  # time enough for another to start
        + entry("one", "--meet other", 'folder = "common"')
        + entry("memory", "", "alone = true")
        + entry("two", "", 'folder = "common"')
        + entry("other", "--meet one")
    )
    assert repository.results("--jobs", "4") == 0
    beside = {name: stored(repository, name)["beside"] for name in ("timed", "memory", "one", "two", "other")}
    assert beside["timed"] == beside["memory"] == []
    assert all("timed" not in found and "memory" not in found for found in beside.values())
    assert "two" not in beside["one"] and "one" not in beside["two"] and "one" in beside["other"]


def test_jobs_have_one_thread_each_but_what_runs_alone_has_all(repository, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    repository.table(entry("a") + entry("b", "", "alone = true"))
    assert repository.results() == 0
    assert (stored(repository, "a")["threads"], stored(repository, "b")["threads"]) == ("1", None)


def test_a_command_that_ends_well_without_its_outputs_has_failed(repository, capsys):
    repository.table(entry("a", "--until runs/never", outputs=["data/results/a.json"]))
    process = repository.process()
    wait_for((repository.root / "runs/signs/a").exists)
    os.kill(int((repository.root / "runs/signs/a").read_text()), signal.SIGTERM)  # it saves, and says 0
    assert process.wait() == 1
    assert "a: ended without writing runs/results/a/a.json (see runs/results/a.log)" in process.stderr.read()
    assert there(repository) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_call_ends_its_commands_and_the_next_one_goes_on(repository, number):
    repository.table(entry("quick") + SLOW)
    process = repository.process("--jobs", "2")
    sign = repository.root / "runs/signs/slow"
    wait_for(lambda: sign.exists() and (repository.root / "data/results/quick.json").exists())
    process.send_signal(number)
    assert process.wait() == 130
    assert "stopped; the same command goes on" in process.stderr.read()
    assert not sign.exists() and there(repository) == ["made.json", "quick.json"]  # it was given time to save
    assert repository.results("--jobs", "2") == 0
    assert stored(repository, "slow")["starts"] == 2 and stored(repository, "quick")["starts"] == 1


def test_while_a_command_outlives_a_killed_call_no_other_starts_it(repository, capsys):
    repository.table(SLOW)
    process = repository.process()
    sign = repository.root / "runs/signs/slow"
    wait_for(sign.exists)
    process.kill()
    process.wait()
    assert repository.results() == 1
    assert "slow: another process makes it" in capsys.readouterr().err
    repository.write("runs/go", "")
    wait_for(lambda: not sign.exists())
    wait_for(lambda: repository.results() == 0)  # the lock is free once the command has gone
    assert stored(repository, "slow")["starts"] == 2


def test_an_attempt_with_another_command_or_code_starts_afresh(repository, capsys):
    for change in (lambda: repository.table(entry("a")), lambda: repository.write("clicv2lite/code.py", "two = 2\n")):
        repository.table(entry("a", "--status 1"))
        assert repository.results() == 1
        change()
        repository.commit()
        assert repository.results() in (0, 1)
        assert (repository.root / "runs/results/a/starts").read_text() == "x"
        (repository.root / "data/results/a.json").unlink(missing_ok=True)


def test_an_attempt_goes_on_after_a_commit_that_touches_no_code(repository):
    repository.table(entry("a", "--status 1"))
    assert repository.results() == 1
    repository.write("book/chapter.md", "text")
    repository.table(entry("a", "--status 1") + entry("b"))
    assert repository.results("a") == 1
    assert (repository.root / "runs/results/a/starts").read_text() == "xx"


def test_made_again_starts_afresh(repository):
    repository.table(SLOW)
    repository.write("runs/go", "")
    assert repository.results() == 0 and repository.results("--force", "slow") == 0
    assert stored(repository, "slow")["starts"] == 1


def test_a_shared_folder_is_never_emptied(repository):
    repository.table(entry("a", "", 'folder = "common"') + entry("b", "", 'folder = "common"'))
    assert repository.results() == 0
    assert stored(repository, "b")["starts"] == 2


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("clicv2lite/code.py", True),  # changed
        ("clicv2lite/new.py", True),  # untracked
        ("job.py", True),  # a script of the table
        ("data/README.md", True),
        ("data/results/note.txt", True),
        ("data/results/a.json", True),  # an output that this command did not write
        ("book/chapter.md", False),
        ("README.md", False),
        ("runs/x", False),
    ],
)
def test_changes_are_refused_before_anything_runs(repository, capsys, path, named):
    repository.table(entry("a"))
    repository.write(path, "changed\n")
    assert repository.results("--force", "a") == (2 if named else 0)
    error = capsys.readouterr().err
    if named:
        assert error == (
            f"clicv2lite: {path}: not as in the commit that the results would name; commit it, or set it aside (git stash -u)\n"
        )
        assert not (repository.root / "runs/results").exists()


def test_what_another_job_is_writing_at_this_moment_is_no_change(repository):
    repository.table(entry("a"))
    (repository.root / "data/results").mkdir(parents=True, exist_ok=True)
    with atomic(repository.root / "data/results/b.json") as temporary:
        temporary.write_text("half")
        assert repository.results("--force", "a") == 0


def test_what_the_command_stored_itself_is_no_change(repository):
    repository.table(entry("a") + entry("b"))
    assert repository.results("a") == 0
    assert repository.results("b") == 0  # a.json and the record are not committed
    repository.commit()
    (repository.root / "data/results/a.json").unlink()
    assert repository.results("a") == 0  # to remove an output is a way to have it made again


@pytest.mark.parametrize(
    ("run", "what"),
    [
        ("echo >> clicv2lite/code.py", "clicv2lite/code.py is not as in the commit"),
        (
            "echo >> clicv2lite/code.py; git -c user.name=a -c user.email=a@b commit -qam x",
            "other code was committed while it ran",
        ),
    ],
)
def test_a_result_is_not_stored_if_the_code_changes_while_it_is_made(repository, capsys, run, what):
    repository.table(entry("a", f'--run "{run}"'))
    assert repository.results() == 1
    assert what in capsys.readouterr().err and there(repository) == []


def test_a_result_that_names_a_commit_with_changes_is_not_stored(repository, capsys):
    repository.table(entry("a", "--commit 0123456789ab+changes"))
    assert repository.results() == 1
    assert "runs/results/a/a.json names a commit with uncommitted changes" in capsys.readouterr().err
    assert there(repository) == []


def test_what_changes_the_package_must_be_committed_before_the_rest(repository, capsys):
    model = "clicv2lite/models/default/model.json"
    repository.table(
        entry("model", "", 'asked = "x"', outputs=[model]) + entry("card", f"--reads {model}", 'after = ["model"]')
    )
    assert repository.results("model", "card") == 1
    assert f"card: {model} is not as in the commit that the result would name; commit it" in capsys.readouterr().err
    assert repository.results("card") == 2
    repository.commit()
    assert repository.results("card") == 0 and len(stored(repository, "card")["read"]) == 1


def test_data_are_needed_only_by_what_reads_them(repository, capsys, monkeypatch, tmp_path):
    table = '[inputs]\nphotos = "$CLICV2LITE_DATA/photos/p-{000..003}.tar"\nratings = "$CLICV2LITE_DATA/ratings.csv"\n'
    both = 'inputs = ["photos", "ratings"]'
    repository.table(table + entry("a", "--reads {ratings}", both) + entry("b"))
    assert repository.results("b") == 0
    assert repository.results() == 2
    assert capsys.readouterr().err == (
        "clicv2lite: CLICV2LITE_DATA: not set, and a reads $CLICV2LITE_DATA/photos/p-{000..003}.tar;"
        " set it to the folder of the data\n"
    )
    monkeypatch.setenv("CLICV2LITE_DATA", "../two words")
    monkeypatch.chdir(repository.root)
    assert repository.results() == 2
    assert "photos/p-{000..003}.tar: not there, and a reads it" in capsys.readouterr().err
    (tmp_path / "two words/photos").mkdir(parents=True)
    (tmp_path / "two words/ratings.csv").write_text("image,score\n")
    assert repository.results() == 0
    assert stored(repository, "a")["read"] == ["image,score\n"]
    assert stored(repository, "a")["data"] == str(tmp_path / "two words")
    assert read_record(repository.root)["a"]["command"].endswith("--reads $CLICV2LITE_DATA/ratings.csv")


def test_a_command_of_the_package_is_run_as_a_reader_would(repository):
    (repository.root / "data").mkdir(exist_ok=True)
    Image.effect_noise((64, 64), 50).convert("RGB").save(repository.root / "data/noise.png")
    repository.table(
        "[experiment.scores]\nminutes = 1\n"
        'command = "score data/noise.png --csv {out}/s.csv"\noutputs = ["data/results/s.csv"]\n'
    )
    assert repository.results() == 0
    assert (repository.root / "data/results/s.csv").read_text().startswith("image,score")
    assert "$ score data/noise.png" in (repository.root / "runs/results/scores.log").read_text()


def test_the_record_names_the_commit(repository):
    repository.table(entry("a"))
    assert repository.results() == 0
    git(repository.root, "cat-file", "-e", read_record(repository.root)["a"]["commit"])
