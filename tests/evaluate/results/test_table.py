"""Entries become experiments; a fault in the table is one line that names the entry."""

import pytest

from clicv2lite.errors import UserError

PAIR = """
[inputs]
photos = "$CLICV2LITE_DATA/photos/{0..3}.tar"

[experiment.run]
each = { method = ["a", "b"], seed = [0, 1] }
command = '''pretrain --images {photos}
    --out {out} --set method={method} seed={seed}'''
inputs = ["photos"]
outputs = { "data/results/{method}/seed{seed}.config.json" = "config.json" }
keeps = ["encoder.safetensors"]
minutes = 3

[experiment.probe]
each = { method = ["a", "b"] }
command = "probe --encoder {work}/run-{method}-1 --json {out}/p.json --rows 'two words'"
after = ["run-{method}-1"]
outputs = ["data/results/{method}/p.json"]
minutes = 0.5

[experiment.all]
command = "claims --out {out}"
after = ["run", "probe-b"]
outputs = ["data/claims.json"]
folder = "common"
minutes = 1
"""


def test_an_entry_is_an_experiment_for_each_combination_of_values(repository):
    table = repository.table(PAIR)
    assert list(table.experiments) == ["run-a-0", "run-a-1", "run-b-0", "run-b-1", "probe-a", "probe-b", "all"]
    one = table.experiments["run-b-1"]
    command = "pretrain --images $CLICV2LITE_DATA/photos/{0..3}.tar --out {out} --set method=b seed=1"
    assert (one.command, one.outputs) == (command, {"data/results/b/seed1.config.json": "config.json"})
    assert one.words == command.replace("{out}", "runs/results/run-b-1").split()
    assert table.experiments["probe-a"].outputs == {"data/results/a/p.json": "p.json"}
    assert table.experiments["probe-a"].words[2] == "runs/results/run-a-1"
    assert table.experiments["probe-a"].words[-1] == "two words"


def test_a_dependency_is_an_experiment_or_all_of_an_entry(repository):
    found = repository.table(PAIR).experiments
    assert found["probe-b"].after == ("run-b-1",)
    assert found["all"].after == ("run-a-0", "run-a-1", "run-b-0", "run-b-1", "probe-b")


def test_a_folder_can_be_shared(repository):
    found = repository.table(PAIR).experiments
    assert (found["all"].out, found["all"].shared, found["probe-a"].shared) == ("runs/results/common", True, False)


@pytest.mark.parametrize(
    ("words", "names"),
    [(["run-a-1"], ["run-a-1"]), (["probe"], ["probe-a", "probe-b"]), (["all", "run-a-0"], ["run-a-0", "all"]), ([], [])],
)
def test_a_word_names_an_experiment_or_all_of_an_entry(repository, words, names):
    assert [one.name for one in repository.table(PAIR).named(words)] == names


def test_a_word_that_names_nothing_is_told_what_is_near(repository):
    with pytest.raises(UserError, match=r"results prob-a: no experiment; probe-a is one"):
        repository.table(PAIR).named(["prob-a"])


GOOD = 'command = "a --out {out}"\noutputs = ["data/results/a.json"]\nminutes = 1\n'
OTHER = GOOD.replace("a.json", "b.json")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[experiment.a", "experiments.toml: "),
        ('[experiment.a]\ncommand = "a"\nminutes = 1\n', "a: `outputs` is missing"),
        (f"[experiment.a]\n{GOOD}needs = 1\n", "a: `needs` is no key"),
        (f'[experiment.a]\n{GOOD}inputs = ["photos"]\n', "a: input photos is not in"),
        (f'[experiment.a]\n{GOOD}after = ["b"]\n', "a: after b: no entry above"),
        (f'[experiment.a]\n{GOOD}after = ["a"]\n', "a: after a: no entry above"),
        (f"[experiment.a]\n{GOOD}".replace("{out}", "{seed}"), "a: {seed} is neither"),
        (f"[experiment.a]\n{GOOD}[experiment.b]\n{GOOD}", "b: output data/results/a.json belongs to a already"),
        (f'[kept]\n"data/results/a.json" = "x"\n[experiment.a]\n{GOOD}', "data/results/a.json belongs to [kept] already"),
        (f"[experiment.a]\n{GOOD}".replace("data/results", "book"), "output book/a.json is outside of data/results/"),
        (f"[experiment.a]\n{GOOD}".replace("data/results", "data/results/../.."), "is outside of"),
        (f"[experiment.a]\n{GOOD}".replace("data/results", "/data/results"), "is outside of"),
        (f"[experiment.a-0]\n{OTHER}[experiment.a]\neach = {{ n = [0] }}\n{GOOD}", "a-0 is there already"),
    ],
)  # fmt: skip
def test_a_fault_names_its_entry(repository, text, what):
    with pytest.raises(UserError) as told:
        repository.table(text)
    assert what in str(told.value) and "\n" not in str(told.value) and str(told.value).startswith("clicv2lite/evaluate/results")
