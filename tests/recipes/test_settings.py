"""Settings of stored runs, of earlier names among them, and the table of all settings."""

import dataclasses
import json
from pathlib import Path

import pytest

from clicv2lite.encoders.config import PoolConfig
from clicv2lite.learners import METHODS
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.recipes.library import RECIPES, get_recipe
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import DROPPED, RENAMED, kinds, read_settings, stored_recipe

ROOT = Path(__file__).parents[2]
STORED = [path for place in ("data/results", "clicv2lite/models") for path in sorted((ROOT / place).glob("**/*config.json"))]


def test_every_setting_is_declared_once():
    """A name that two classes declare would have two defaults; the parts and the methods have their own."""
    own = {}
    for kind in (*Recipe.__mro__, *(method.settings for method in METHODS.values())):
        for name in vars(kind).get("__annotations__", {}):
            own.setdefault(name, set()).add(kind)
    assert {name: found for name, found in own.items() if len(found) > 1} == {}
    parts = {"decoder": DecoderConfig, "pool": PoolConfig}
    prefixed = {f"{part}_{field.name}" for part, kind in parts.items() for field in dataclasses.fields(kind)}
    assert prefixed <= kinds().keys() and not prefixed & own.keys()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_what_a_run_stores(name):
    recipe = get_recipe(name)
    assert stored_recipe(json.loads(json.dumps(recipe.flat()))) == recipe


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_configuration_of_every_stored_run_is_read(path):
    stored = json.loads(path.read_text())["recipe"]
    flat = json.loads(json.dumps(stored_recipe(stored).flat()))
    assert {RENAMED.get(key, key): value for key, value in stored.items() if key not in DROPPED}.items() <= flat.items()


def test_a_setting_goes_by_its_earlier_name_too():
    for old, new in RENAMED.items():
        value = "full" if old == "key" else "0.25"
        assert read_settings([f"{old}={value}"]) == read_settings([f"{new}={value}"])


@pytest.mark.parametrize("change, error", [
    ({"reduction": "sum"}, ValueError), ({"speed": 3}, KeyError), ({"name": None, "views": {}}, KeyError),
])  # fmt: skip
def test_a_configuration_that_cannot_be_had_any_more_is_an_error(change, error):
    with pytest.raises(error):
        stored_recipe({**get_recipe("ci").flat(), **change})


def test_a_change_reaches_the_part_that_it_names():
    recipe = get_recipe("ci").changed({"decoder_width": 24, "pool_size": 64, "queue": 5, "width": 48, "mask_ratio": 0.5})
    assert (recipe.decoder.width, recipe.pool.size, recipe.width, recipe.views.mask_ratio) == (24, 64, 48, 0.5)
    assert recipe.encoder.width == 48 and recipe.changed({"method": "moco"}).learner.queue == 5
    assert get_recipe("ci").decoder.width == 16, "a recipe is never changed in place"
