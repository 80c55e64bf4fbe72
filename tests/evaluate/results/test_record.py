"""What is missing or stale, and what is made therefore: each case in a repository of three experiments."""

import json

import pytest

from clicv2lite.errors import UserError
from clicv2lite.evaluate.results.plan import levels, plan
from clicv2lite.evaluate.results.record import RECORD, adopt, inputs, keeps_are_here, read_record, state, store
from clicv2lite.evaluate.results.table import read_table

TABLE = """
[experiment.run]
command = "pretrain --out {out}"
outputs = ["data/results/log.json"]
keeps = ["weights"]
minutes = 1

[experiment.probe]
command = "probe"
after = ["run"]
outputs = ["data/results/probe.json"]
minutes = 1

[experiment.table]
command = "table"
after = ["probe"]
outputs = ["data/results/table.json", "data/results/table.md"]
minutes = 1

[experiment.other]
command = "other"
outputs = ["data/results/other.json"]
minutes = 1

[experiment.model]
command = "model"
after = ["run"]
outputs = ["data/results/model.json"]
minutes = 1
asked = "it takes long"

[experiment.of-model]
command = "of"
after = ["model"]
outputs = ["data/results/of.json"]
minutes = 1
"""


def make(repository, table, name, text="1"):
    """As if the experiment had run."""
    one = table.experiments[name]
    for file in (*one.outputs.values(), *one.keeps):
        repository.write(f"{one.out}/{file}", f'{{"by": "{name}", "text": "{text}"}}')
    store(one, inputs(one, table, repository.root), "abc", repository.root)


@pytest.fixture
def made(repository):
    """All of them, fresh."""
    table = repository.table(TABLE)
    for name in table.experiments:
        make(repository, table, name)
    return repository


def states(repository):
    table = read_table(repository.root)
    record = read_record(repository.root)
    return {name: state(one, table, record, repository.root) for name, one in table.experiments.items()}


def stale(repository):
    return {name: f"{found.kind}: {found.why}" for name, found in states(repository).items() if found.kind != "fresh"}


def steps(repository, *names, **more):
    return [step.one.name for step in plan(read_table(repository.root), repository.root, names, **more)]


def test_what_was_stored_is_fresh_and_nothing_is_to_be_made(made):
    assert stale(made) == {} and steps(made) == []


def test_the_record_says_by_what_from_what_and_at_which_commit(made):
    found = json.loads((made.root / RECORD).read_text())["probe"]
    assert (found["command"], found["commit"]) == ("probe", "abc")
    assert list(found["outputs"]) == ["data/results/probe.json"] and list(found["inputs"]) == ["data/results/log.json"]


def test_an_output_that_is_not_there_is_missing(made):
    (made.root / "data/results/table.md").unlink()
    assert stale(made) == {"table": "missing: no data/results/table.md"}


def test_an_output_that_was_changed_is_stale_and_so_is_what_was_made_of_it(made):
    made.write("data/results/probe.json", "2")
    assert stale(made) == {
        "probe": "stale: data/results/probe.json is not as it was made",
        "table": "stale: data/results/probe.json has changed since",
    }


def test_another_command_makes_stale(made):
    made.table(TABLE.replace('"other"', '"other --seed 1"'))
    assert stale(made) == {"other": "stale: its command was `other`"}


def test_another_folder_of_work_or_another_comment_makes_nothing_stale(made):
    made.table("# three\n" + TABLE.replace('"probe"\n', '"probe"\nfolder = "common"\n'))
    assert stale(made) == {}


def test_a_dependency_that_was_made_again_with_another_result_makes_stale(made):
    make(made, read_table(made.root), "run", "2")
    assert set(stale(made)) == {"probe", "model"}


def test_a_dependency_that_was_made_again_with_the_same_result_does_not(made):
    make(made, read_table(made.root), "run")
    assert stale(made) == {}


def test_a_new_dependency_makes_stale(made):
    made.table(TABLE.replace('"other"\n', '"other"\nafter = ["table"]\n'))
    assert stale(made) == {"other": "stale: data/results/table.json has changed since"}


def test_what_has_no_entry_in_the_record_is_stale(made):
    record = json.loads((made.root / RECORD).read_text())
    del record["other"]
    made.write(RECORD, json.dumps(record))
    assert stale(made) == {"other": "stale: not in the record"}


def test_a_damaged_record_is_one_line(made):
    made.write(RECORD, "{")
    with pytest.raises(UserError, match=r"made\.json: is not JSON; restore it"):
        states(made)


def test_what_depends_on_something_that_is_made_again_is_made_after_it(made):
    (made.root / "data/results/log.json").unlink()
    assert steps(made) == ["run", "probe", "table"]
    assert steps(made, "run") == ["run"]
    assert steps(made, "table") == ["run", "probe", "table"]
    assert steps(made, "other") == []


def test_files_that_were_too_large_to_be_stored_are_made_again_when_they_are_needed_and_only_then(made):
    (made.root / "runs/results/run/weights").unlink()
    assert stale(made) == {} and steps(made) == []
    (made.root / "data/results/table.md").unlink()
    assert steps(made) == ["table"]
    (made.root / "data/results/probe.json").unlink()
    assert steps(made) == ["run", "probe", "table"]


def test_files_of_another_make_are_not_taken_for_those_that_are_needed(made):
    table = read_table(made.root)
    assert keeps_are_here(table.experiments["run"], read_record(made.root), made.root)
    made.write("runs/results/run/weights", "of another branch")
    assert not keeps_are_here(table.experiments["run"], read_record(made.root), made.root)
    (made.root / "data/results/probe.json").unlink()
    assert steps(made, "probe") == ["run", "probe"]


def test_forced_is_made_although_it_is_fresh_and_then_what_depends_on_it(made):
    assert steps(made, force=["probe"]) == ["probe"]
    assert steps(made, "table", force=["probe"]) == ["probe", "table"]
    assert steps(made, "other", "table", force=["probe"]) == ["probe", "table"]


def test_what_must_be_asked_for_is_made_only_if_it_is_named(made):
    (made.root / "data/results/model.json").unlink()
    assert steps(made) == ["of-model"]  # it is stale, and reads the model as it is
    assert steps(made, "of-model") == ["of-model"]
    assert steps(made, "of-model", "model") == ["model", "of-model"]


def test_only_takes_no_dependencies_and_refuses_if_one_is_out_of_date(made):
    (made.root / "data/results/table.md").unlink()
    assert steps(made, "table", only=True) == ["table"]
    made.write("data/results/probe.json", "2")
    with pytest.raises(UserError, match=r"results --only table: probe has to be made before \(stale: "):
        steps(made, "table", only=True)
    (made.root / "runs/results/run/weights").unlink()
    with pytest.raises(UserError, match=r"--only probe: run has to be made before \(its weights is not here\)"):
        steps(made, "probe", only=True)


def test_levels_hold_what_can_run_at_once(made):
    (made.root / RECORD).unlink()
    table = read_table(made.root)
    found = [[step.one.name for step in level] for level in levels(plan(table, made.root, ()))]
    assert found == [["run", "other", "of-model"], ["probe"], ["table"]]
    shared = made.table(TABLE.replace('"other"\n', '"other"\nfolder = "c"\n').replace('"of"\n', '"of"\nfolder = "c"\n'))
    found = [[step.one.name for step in level] for level in levels(plan(shared, made.root, ()))]
    assert found == [["run", "other"], ["probe", "of-model"], ["table"]]


def test_adopt_records_what_is_there_without_making_it(made):
    made.write("data/results/other.json", '{\n  "rows": [{"commit": "no"}],\n  "commit": "0123456789ab"\n}\n')
    table = made.table(TABLE.replace('"other"', '"renamed"'))
    assert set(stale(made)) == {"other"}
    adopt(table.experiments["other"], table, made.root)
    assert stale(made) == {}
    assert read_record(made.root)["other"]["commit"] == "0123456789ab"


def test_adopt_refuses_what_is_not_there(made):
    (made.root / "data/results/other.json").unlink()
    table = read_table(made.root)
    with pytest.raises(UserError, match=r"--adopt other: data/results/other.json is not there"):
        adopt(table.experiments["other"], table, made.root)


def test_outputs_are_stored_all_or_none(made):
    table = read_table(made.root)
    before = {path: (made.root / path).read_text() for path in (RECORD, "data/results/table.json", "data/results/table.md")}
    made.write("runs/results/table/table.json", "new")
    (made.root / "runs/results/table/table.md").unlink()
    with pytest.raises(FileNotFoundError):
        store(table.experiments["table"], {}, "abc", made.root)
    assert before == {path: (made.root / path).read_text() for path in before}
    assert not [path for path in (made.root / "data/results").iterdir() if path.name.startswith(".")]
