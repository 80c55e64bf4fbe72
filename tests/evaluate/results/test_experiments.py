"""The table of the repository: it claims every stored result once, and its commands are commands."""

import argparse
import hashlib
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clicv2lite.cli import COMMANDS
from clicv2lite.evaluate.results.checkout import ROOT
from clicv2lite.evaluate.results.record import RECORD, inputs
from clicv2lite.evaluate.results.table import WORK, read_table
from clicv2lite.models.by_name import SHIPPED
from clicv2lite.recipes.library import get_recipe

TABLE = read_table(ROOT)
EXPERIMENTS = [pytest.param(one, id=name) for name, one in TABLE.experiments.items()]


def parsed(one):
    """What the command's own parser makes of the words."""
    name, *words = one.words
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    return parser.parse_args(words)


def test_every_stored_file_is_made_by_one_experiment_or_kept_with_a_reason():
    folders = ("data/results", *(f"clicv2lite/models/{name}" for name in SHIPPED))
    there = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()}
    made = [path for one in TABLE.experiments.values() for path in one.outputs]
    assert sorted([*made, *TABLE.kept]) == sorted({*there, "data/claims.json"})
    assert all(len(why) > 20 for why in TABLE.kept.values())


def test_what_is_stored_is_what_was_recorded():
    record = json.loads((ROOT / RECORD).read_text())
    assert list(record) == sorted(TABLE.experiments)
    for one in TABLE.experiments.values():
        digests = {path: hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:16] for path in one.outputs}
        assert record[one.name]["outputs"] == digests
        assert set(record[one.name]["inputs"]) == set(inputs(one, TABLE, ROOT))


@pytest.mark.parametrize("one", EXPERIMENTS)
def test_a_command_is_one_that_its_parser_takes(one):
    if one.words[0] == "python":
        shown = subprocess.run([sys.executable, one.words[1], "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert all(word in shown.stdout for word in one.words if word.startswith("--"))
        return
    args = parsed(one)
    if one.words[0] == "pretrain":
        recipe = get_recipe(args.recipe, args.set)
        seed = one.name.rpartition("-")[2]
        assert args.resume and recipe.seed == (int(seed) if seed.isdigit() else 0)
    elif "--seed" in one.words:
        assert f"seed{args.seed}" in "".join(one.outputs)


@pytest.mark.parametrize("one", EXPERIMENTS)
def test_a_command_writes_only_into_its_folder_and_what_it_writes_is_stored(one):
    paths = [word for word in one.words if word.startswith(f"{WORK}/")]
    own = [word for word in paths if word == one.out or word.startswith(f"{one.out}/")]
    assert own
    named = {Path(word).name for word in own if Path(word).parent == Path(one.out) and Path(word).suffix in (".json", ".csv")}
    assert named <= set(one.outputs.values())
    folders = [Path(word) for word in own if not Path(word).suffix]  # it was given a folder, or else every file
    assert all(any((Path(one.out) / file).is_relative_to(f) for f in folders) for file in set(one.outputs.values()) - named)


@pytest.mark.parametrize("one", EXPERIMENTS)
def test_a_command_comes_after_what_it_reads(one):
    for word in one.words:
        if word.startswith(f"{WORK}/") and not word.startswith(one.out):
            assert word.removeprefix(f"{WORK}/") in one.after
    for name in ("default", "lite", "plus"):
        if re.search(rf"--encoder (\S+ )*{name}\b", one.command):  # `--size lite` is a recipe
            assert f"{name}-model" in one.after


@pytest.mark.parametrize("one", EXPERIMENTS)
def test_a_command_names_no_data_but_its_inputs(one):
    assert set(re.findall(r"\$CLICV2LITE_DATA\S+", one.command)) <= {TABLE.inputs[name] for name in one.inputs}


def test_claims_are_judged_after_every_suite():
    suites = [name for name, one in TABLE.experiments.items() if one.words[0] == "evaluate"]
    assert len(suites) == len(list((ROOT / "data/results/suites").glob("*.json")))
    assert sorted(TABLE.experiments["claims"].after) == sorted(suites)


def test_what_measures_time_or_memory_runs_alone():
    measured = {"bench", "bench-peers", "bench-growth", "bench-memory", "bench-score", "soak"}
    assert {one.name for one in TABLE.experiments.values() if one.alone} == measured


def test_the_models_are_made_only_if_they_are_named():
    package = {one.name for one in TABLE.experiments.values() if any(path.startswith("clicv2lite/") for path in one.outputs)}
    assert package == {"default-model", "lite-model", "plus-model"}
    assert all(TABLE.experiments[name].asked for name in (*package, "default-run", "lite-model-run"))
