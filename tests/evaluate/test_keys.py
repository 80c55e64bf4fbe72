"""The key of a run holds when settings are added, and differs where a run learns something else."""

import dataclasses
import hashlib
import json

import pytest

from clicv2lite.evaluate import keys
from clicv2lite.evaluate.keys import REFERENCE, first_defaults, learned, run_key, stored_key
from clicv2lite.learners import METHODS
from clicv2lite.recipes.library import RECIPES, get_recipe
from clicv2lite.recipes.recipe import EXECUTION, Recipe

IMAGES = ["worlds:5"]
AT_FIRST = 51  # lines of the reference; those of later settings stand below them


@dataclasses.dataclass(frozen=True)
class Newer(Recipe):
    """A recipe of a later version, with one more setting."""

    added: float = 0.5


def newer(recipe, **more):
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(Recipe)}
    return Newer(**fields, **more)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_setting_that_is_added_keeps_the_key_until_it_is_changed(name, monkeypatch):
    recipe = get_recipe(name)
    before = run_key(recipe, IMAGES)
    monkeypatch.setattr(keys, "Recipe", Newer)  # whose defaults are asked
    assert run_key(newer(recipe), IMAGES) == before
    assert run_key(newer(recipe, added=0.6), IMAGES) != before


def test_a_default_that_changes_later_changes_no_key(monkeypatch):
    """Two runs with other values stay apart, and each has the key that it had."""
    one, two = get_recipe("lite"), get_recipe("lite", ["temperature=0.3"])
    before = [run_key(recipe, IMAGES) for recipe in (one, two)]
    later = dataclasses.make_dataclass("Later", [("temperature", float, 0.3)], bases=(Recipe,), frozen=True)
    assert later().temperature == 0.3
    monkeypatch.setattr(keys, "Recipe", later)
    assert [run_key(recipe, IMAGES) for recipe in (one, two)] == before and before[0] != before[1]


def test_the_reference_has_a_line_for_every_setting():
    """Add the line of a new setting, with its default, at the end of key_reference.json; never change one that is there."""
    assert first_defaults().keys() - REFERENCE.keys() == {*EXECUTION, "name"}
    own = {key for method in METHODS.values() for key in dataclasses.asdict(method.settings())}
    assert REFERENCE.keys() <= Recipe().flat().keys() | own


def test_the_lines_of_the_reference_stay_as_they_were_at_first():
    at_first = dict(list(REFERENCE.items())[:AT_FIRST])
    assert hashlib.sha256(json.dumps(at_first).encode()).hexdigest()[:16] == "0c82bc5003fe01e0"


@pytest.mark.parametrize("setting", ["micro=8", "workers=1", "save_every=7", "negatives=batch", "queue=99"])
def test_how_a_run_is_executed_and_what_its_method_does_not_read_are_not_in_the_key(setting):
    plain = get_recipe("lite")
    other = dataclasses.replace(plain, own={"queue": 99}) if setting == "queue=99" else get_recipe("lite", [setting])
    assert run_key(plain, IMAGES) == run_key(other, IMAGES)


@pytest.mark.parametrize(
    "setting", ["seed=1", "width=96", "fill=edge", "pool_size=128", "passes=64", "method=moco", "decoder_depth=1", "weight=0"]
)
def test_what_a_run_learns_from_is_in_the_key(setting):
    assert run_key(get_recipe("lite"), IMAGES) != run_key(get_recipe("lite", [setting]), IMAGES)


def test_only_what_differs_is_hashed():
    assert learned(get_recipe("vit-b32", ["temperature=0.3"])) == {"store": 0, "temperature": 0.3}


def test_images_are_known_by_names_and_sizes_and_not_by_where_they_lie(tmp_path):
    for folder, text in (("a", b"x"), ("b", b"x"), ("c", b"xx")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.jpg").write_bytes(text)
    recipe = get_recipe("ci")
    a, b, c = (run_key(recipe, [str(tmp_path / folder)]) for folder in "abc")
    assert a == b != c


def test_the_key_of_a_stored_configuration_is_that_of_its_run(tmp_path):
    recipe = get_recipe("lite", ["pool_size=128"])
    count, listing = keys._listed(tuple(IMAGES))
    config = {"recipe": recipe.flat(), "images": count, "images_sha256": listing}
    del config["recipe"]["fill"]  # of a version before there was this setting
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert stored_key(tmp_path) == run_key(recipe, IMAGES)
