"""Every file of the room is a method, and its record says what recipes, budget and log ask of it."""

import dataclasses
import typing
from pathlib import Path

import pytest

import clicv2lite.learners as room
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.learners.base import Step
from clicv2lite.recipes.library import get_recipe
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import check, kinds


def test_every_file_of_the_room_is_a_method_of_its_name():
    files = {path.stem for path in Path(room.__file__).parent.glob("*.py")} - {"__init__", "base"}
    assert files == METHODS.keys() and {"clicv2", "moco", "clic"} <= files


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_sets_are_settings(name):
    method = METHODS[name]
    assert method.fixed.items() <= method.brings.items() and method.brings.keys() <= kinds().keys()
    own = {field.name for field in dataclasses.fields(method.settings)}
    assert not own & {field.name for field in dataclasses.fields(Recipe)}, "a name of every method"
    assert own <= kinds().keys() and typing.get_type_hints(method.settings).keys() == own
    check(get_recipe("ci", [f"method={name}"]))


def test_a_method_made_of_clicv2s_record_refuses_a_network_without_patches(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", dataclasses.replace(METHODS["clicv2"]))
    assert get_recipe("ci", ["method=mine"]).backbone == "vit"
    with pytest.raises(UserError) as caught:
        get_recipe("ci", ["method=mine", "backbone=resnet-lite", "size=64"])
    said = "backbone=resnet-lite: method=mine has backbone=vit; leave it out, or take method=clic"
    assert str(caught.value).startswith(f"--set {said}") and "clicv2" not in str(caught.value)


@pytest.mark.parametrize("name", METHODS)
def test_the_price_grows_with_the_batch_and_none_is_negative(name):
    recipe = get_recipe("ci", [f"method={name}"])
    small, large = (METHODS[name].price(Step(b, b, b, 7, 16), recipe.learner) for b in (4, 8))
    assert all(0 <= a <= b for a, b in zip(small, large, strict=True)) and large.pairs > small.pairs


@pytest.mark.parametrize("name, target, second", [
    ("clicv2", "entropy", "entropy"), ("clicv2", "pixels", "pixels"), ("clicv2", "none", None),
    ("moco", "entropy", None), ("clic", "entropy", "complexity"),
])  # fmt: skip
def test_the_second_loss_is_called_what_it_is(name, target, second):
    recipe = get_recipe("ci", [f"method={name}", f"target={target}"])
    assert METHODS[name].auxiliary(recipe.views) == second
