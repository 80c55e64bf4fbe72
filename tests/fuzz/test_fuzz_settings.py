"""Settings of every kind, as options, in a recipe's file and in a stored run: a recipe that can be built, or one line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicv2lite.cli import main
from clicv2lite.errors import UserError
from clicv2lite.pretrain.cost.budget import memory, parameters
from clicv2lite.pretrain.export import load_recipe
from clicv2lite.recipes.library import RECIPES, get_recipe
from clicv2lite.recipes.settings import kinds
from tests.fuzz.mutations import ODD_NUMBERS, ODD_TEXTS, as_json, changed_json, texts

fuzz = settings.get_profile("fuzz")
VALUES = st.sampled_from([str(value) for value in (*ODD_NUMBERS, *ODD_TEXTS)]) | st.integers().map(str) | texts
SETTINGS = st.tuples(st.sampled_from([*kinds(), "unknown", ""]), VALUES).map("=".join)


def buildable(recipe):
    """What is computed of a recipe before anything is allocated: it must come out, and be nothing absurd."""
    assert sum(parameters(recipe).values()) < 10**12 and sum(memory(recipe, 1, 1).values()) < 10**15
    assert recipe.steps >= 1


@given(name=st.sampled_from(list(RECIPES)), words=st.lists(SETTINGS, max_size=4))
@settings(fuzz)
def test_any_settings_are_a_recipe_or_one_line(name, words, refused):
    try:
        recipe = get_recipe(name, words)
    except UserError as error:
        refused(error)
    else:
        buildable(recipe)


@given(stored=changed_json(RECIPES["ci"]().flat()))
@settings(fuzz)
def test_any_stored_recipe_is_read_or_one_line(tmp_path_factory, stored, refused):
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.json").write_text(as_json({"recipe": stored, "images": 40}), encoding="utf-8")
    try:
        recipe = load_recipe(str(folder))
    except UserError as error:
        refused(error)
    else:
        buildable(recipe)


@given(lines=st.lists(st.tuples(st.sampled_from([*kinds(), "base"]), VALUES), max_size=4))
@settings(fuzz)
def test_any_recipe_file_is_a_recipe_or_one_line(tmp_path_factory, lines, refused):
    file = tmp_path_factory.mktemp("recipe") / "r.toml"
    text = 'base = "ci"\n' + "".join(
        f"{key} = {json.dumps(value) if i % 2 else value}\n" for i, (key, value) in enumerate(lines)
    )
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        recipe = get_recipe(str(file))
    except UserError as error:
        refused(error)
        assert "r.toml" in str(error)
    else:
        buildable(recipe)


@pytest.mark.parametrize(
    "on", ["", "x", "0 x A100", "-1 x A100", "999999999999 x A100", "8 x 1e400 TFLOP/s 80 GB", "8 x nan GB"]
)
def test_any_machine_is_planned_for_or_one_line(on, capsys):
    status = main(["pretrain", "--recipe", "ci", "--dry-run", "--on", on])
    out, err = capsys.readouterr()
    assert (status == 0 and out) or (status == 2 and err.startswith("clicv2lite: ") and err.count("\n") == 1)
