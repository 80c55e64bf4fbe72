import dataclasses
import re
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.encoders.config import PoolConfig
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import ModelConfig
from clicv2lite.method.decoder import DecoderConfig
from clicv2lite.method.encoder import EncoderConfig
from clicv2lite.method.views import ViewConfig
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import RECIPES, get_recipe
from clicv2lite.recipes.recipe import EXECUTION, Recipe
from clicv2lite.recipes.settings import check, describe, ignored, kinds, parse


def one_line_of(*settings, recipe="ci"):
    with pytest.raises(UserError) as caught:
        get_recipe(recipe, list(settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_its_name_and_fits_together(name):
    recipe = get_recipe(name)
    check(recipe)
    assert recipe.name == name and recipe.steps > recipe.warmup // recipe.batch
    assert recipe.views.grid == (recipe.encoder.size // recipe.encoder.patch,) * 2


@pytest.mark.parametrize("name, shape", [
    ("vit-s32", (384, 12, 6, 32)), ("vit-b32", (768, 12, 12, 32)), ("vit-l16", (1024, 24, 16, 16)),
    ("vit-l16-star", (1024, 24, 16, 16)),
])  # fmt: skip
def test_the_papers_recipes_have_the_papers_numbers(name, shape):
    recipe = get_recipe(name)
    assert (recipe.width, recipe.depth, recipe.heads, recipe.patch) == shape
    assert (recipe.size, recipe.mask_ratio, recipe.temperature, recipe.auxiliary_weight, recipe.momentum) == (
        224,
        0.6,
        0.2,
        2,
        0.999,
    )
    assert (recipe.batch, recipe.lr, recipe.weight_decay, recipe.beta1, recipe.beta2) == (2048, 0.003, 0.05, 0.9, 0.95)
    assert (recipe.passes, recipe.warmup) == (300 * 1_500_000, 40 * 1_500_000)


@pytest.mark.parametrize("name", ["vit-s32", "vit-b32", "vit-l16", "vit-l16-star"])
def test_where_the_paper_is_silent_its_recipes_have_the_numbers_of_the_decisions_page(name):
    recipe = get_recipe(name)
    assert (recipe.clip, recipe.flip, recipe.color, recipe.blur) == (1.0, 0.5, 0.4, 0.5)
    assert recipe.decoder == DecoderConfig(width=256, depth=4, heads=8)


def test_defaults_stand_alike_in_the_recipe_and_in_the_parts():
    recipe = Recipe()
    assert recipe.views == ViewConfig() and recipe.encoder == EncoderConfig() and recipe.pool == PoolConfig()
    assert recipe.model == ModelConfig()


@pytest.mark.parametrize("target, numbers", [("entropy", 1), ("pixels", 192), ("frequency", 40), ("none", 0)])
def test_the_decoder_predicts_as_many_numbers_as_the_target_has(target, numbers):
    assert get_recipe("ci", [f"target={target}"]).model.target_size == numbers


@pytest.mark.parametrize("setting, value", [
    ("seed=7", 7), ("passes=1_000_000", 1_000_000), ("max_shift=-1", -1), ("max_shift=0", 0),
    ("lr=3e-4", 3e-4), ("lr=1", 1.0), ("mask_ratio=0", 0.0), ("clip=1e6", 1e6),
    ("class_token=true", True), ("class_token=False", False), ("class_token=1", True), ("class_token=0", False),
    ("bins=16", 16), ("bins=none", None), ("bins=None", None),
    ("negatives=other-images", "other-images"), ("zeros=before", "before"), ("key_patches=full", "full"),
    ("pool_blocks=0,1", (0, 1)), ("pool_blocks=-1", (-1,)), ("pool_blocks=-2,-1,", (-2, -1)),
    ("micro=3", 3), ("workers=2", 2), ("compile=true", True), ("checkpointing=1", True), ("store=0", 0), ("crop_mix=0.5", 0.5),
    ("compare=image", "image"), ("target=none", "none"),
    ("pool_statistics=std", ("std",)), ("pool_statistics=std,mean", ("std", "mean")), ("pool_size=64", 64),
    ("pool_read=likeness", "likeness"), ("pool_halvings=1", 1),
])  # fmt: skip
def test_a_setting_of_every_type_is_read(setting, value):
    got = get_recipe("ci", [setting]).flat()[setting.split("=")[0]]
    assert got == value and type(got) is type(value)


def test_settings_change_only_what_they_name_and_the_last_one_counts():
    assert get_recipe("ci", ["seed=1", "lr=0.5", "seed=2"]) == dataclasses.replace(get_recipe("ci"), seed=2, lr=0.5)
    assert get_recipe("ci", []) == get_recipe("ci") == RECIPES["ci"]()


@given(st.sampled_from(["ci", "lite", "vit-b32"]), st.integers(1, 5000), st.integers(1, 10**9))
def test_the_learning_rate_follows_the_batch_and_the_warmup_the_passes(name, batch, passes):
    recipe, settings = get_recipe(name), [f"batch={batch}", f"passes={passes}"]
    changed = get_recipe(name, settings)
    assert changed.lr / batch == pytest.approx(recipe.lr / recipe.batch)
    assert changed.warmup == pytest.approx(recipe.warmup * passes / recipe.passes, abs=0.51)
    own = get_recipe(name, [*settings, "lr=0.125", f"warmup={passes // 3}"])
    assert (own.lr, own.warmup, own.batch, own.passes) == (0.125, passes // 3, batch, passes)


@pytest.mark.parametrize("field", [key for key in get_recipe("lite").flat() if key != "name"])
def test_every_value_of_a_recipe_can_be_set_as_it_is_written(field):
    value = get_recipe("lite").flat()[field]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    assert get_recipe("lite", [f"{field}={text}"]) == get_recipe("lite")


@given(st.integers())
def test_whole_numbers_are_read_back(value):
    assert parse(str(value), int) == parse(f"{value:_}", int) == value


@given(st.floats(allow_nan=False))
def test_numbers_are_read_back(value):
    assert parse(repr(value), float) == value


@given(st.lists(st.integers(), max_size=5))
def test_lists_are_read_back(values):
    assert parse(",".join(map(str, values)), tuple[int, ...]) == tuple(values)


@given(st.text(max_size=6), st.sampled_from([int, float, bool, int | None, Literal["a", "b"], tuple[int, ...]]))
def test_other_text_is_a_value_or_a_value_error(text, kind):
    try:
        parse(text, kind)
    except ValueError:
        assert describe(kind)


@pytest.mark.parametrize("kind, words", [
    (int, "a whole number"), (float, "a number"), (bool, "true or false"), (str, "text"),
    (int | None, "a whole number or none"), (Literal["a", "b"], "a or b"),
    (tuple[int, ...], "a comma-separated list of a whole number"),
])  # fmt: skip
def test_types_are_described_in_words(kind, words):
    assert describe(kind) == words


def test_every_type_of_a_recipe_can_be_described():
    assert all(describe(kind) for kind in kinds().values())


@pytest.mark.parametrize("setting, reason", [
    ("seed=1.5", "seed must be a whole number"), ("seed=", "seed must be a whole number"), ("lr=fast", "lr must be a number"),
    ("class_token=maybe", "class_token must be true or false"), ("bins=few", "bins must be a whole number or none"),
    ("negatives=all", "negatives must be batch or other-images or same-position or same-image"),
    ("pool_blocks=first", "pool_blocks must be a comma-separated list of a whole number"),
    ("pool_statistics=median", "pool_statistics must be a comma-separated list of mean or std"),
    ("speed=3", "write key=value with one of"), ("seed", "write key=value with one of"), ("=3", "write key=value"),
    ("name=mine", "write key=value with one of"), ("views=3", "write key=value with one of"),
])  # fmt: skip
def test_a_setting_that_cannot_be_read_is_one_line(setting, reason):
    message = one_line_of(setting)
    assert message.startswith(f"--set {setting}: ") and reason in message


@pytest.mark.parametrize("settings", [
    *[[f"{key}=0"] for key in ("size", "patch", "width", "depth", "heads", "batch", "passes", "lr", "temperature", "clip",
                               "workers", "save_every", "log_every", "project", "bins")],
    ["lr=nan"], ["lr=-1"], ["temperature=nan"], ["mask_ratio=1"], ["mask_ratio=-0.1"], ["mask_ratio=nan"], ["momentum=1.1"],
    ["flip=2"], ["color=1.5"], ["blur=-1"], ["crop_min=1.2"], ["beta1=1"], ["beta2=1"], ["beta1=-1"], ["auxiliary_weight=-1"],
    ["auxiliary_weight=nan"], ["weight_decay=-0.1"], ["warmup=-1"], ["seed=-1"], [f"seed={2**63}"], ["max_shift=-2"],
    ["bins=-3"], ["bins=1", "unit=normalised"], ["patch=5"], ["width=30"], ["width=34", "heads=2"], ["decoder_width=18"],
    ["heads=3"], ["decoder_heads=3"], ["crop=window", "store=31"], ["pool_blocks="], ["pool_statistics="],
    ["micro=-1"], ["store=-1"], ["crop_mix=1.5"], ["crop_mix=0.5", "size=24", "patch=3", "crop_mix=-1"],
    ["crop_mix=1", "size=33", "patch=3"],
    ["crop=window", "store=0"], ["method=moco", "backbone=hf-hub:a/b"],
    ["method=moco", "backbone=dla34", "size=64", "checkpointing=true"], ["method=moco", "backbone=levit_128s", "size=128"],
    ["method=clic", "crop_mix=0.5"], ["workers=-2"],
    ["compare=image", "negatives=same-image"],
    ["pool_blocks=2"], ["pool_blocks=-3"], ["depth=1", "pool_blocks=-2"], ["pool_size=-8"], ["pool_size=20"],
    ["pool_size=72", "pool_halvings=1"], ["pool_halvings=-1"], ["pool_zoom=0"], ["pool_zoom=2,3"], ["pool_zoom=64"],
])  # fmt: skip
def test_values_that_cannot_work_are_one_line(settings):
    message = one_line_of(*settings)
    assert message.startswith("--set ") and any(s.split("=")[0] in message for s in settings)


def test_an_unknown_recipe_is_one_line_with_those_there_are():
    message = one_line_of(recipe="vit-h14")
    assert "--recipe vit-h14" in message and all(name in message for name in RECIPES)


def test_a_run_shorter_than_a_batch_is_one_step():
    assert get_recipe("ci", ["passes=3"]).steps == 1


def test_the_star_is_the_paper_recipe_with_half_of_the_images_tiled():
    plain, star = get_recipe("vit-l16"), get_recipe("vit-l16-star")
    assert star == dataclasses.replace(plain, name="vit-l16-star", crop_mix=0.5)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_store_crops_come_from_the_files_with_every_method(method):
    assert get_recipe("vit-b32", [f"method={method}"]).store == 0
    assert get_recipe("vit-b32", [f"method={method}"]).views.crop == "given"
    assert get_recipe("ci", [f"method={method}"]).views.crop == "resized"


def test_execution_settings_change_no_part_that_learns():
    plain = get_recipe("ci")
    other = get_recipe("ci", ["micro=2", "workers=1", "compile=true", "checkpointing=true", "save_every=7", "log_every=9"])
    different = {key for key, value in plain.flat().items() if value != other.flat()[key]}
    assert different == set(EXECUTION)
    assert (plain.views, plain.model, plain.pool, plain.steps) == (other.views, other.model, other.pool, other.steps)


ABSURD = ["inf", "-inf", "nan", "1e300", "9" * 5000, "-9" + "9" * 30, "9" * 30, "", "\u0663", "0x10", "1e9", "1,1"]
NUMBERS = [key for key, kind in kinds().items() if re.search("int|float", str(kind))]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ABSURD, ids=range(len(ABSURD)))
def test_no_absurd_value_of_any_number_is_taken(key, value):
    if (key, value) == ("pool_zoom", ""):
        pytest.skip("it means no zoom")
    message = one_line_of(f"{key}={value}")
    assert message.startswith("--set ") and key in message and len(message) < 330


@pytest.mark.parametrize("settings, line", [
    (["negatives=other-images", "method=moco"], "negatives=other-images: method=moco does not read it; leave it out"),
    (["method=moco", "decoder_width=8"], "decoder_width=8: method=moco does not read it"),
    (["method=moco", "target=none"], "target=none: method=moco does not read it"),
    (["method=clic", "flip=0.1"], "flip=0.1: method=clic does not read it"),
    (["method=moco", "auxiliary_weight=1"], "auxiliary_weight=1.0: method=moco does not read it"),
    (["queue=32"], "queue=32: method=clicv2 does not read it"),
    (["crop=window", "crop_min=0.2"], "crop_min=0.2: crop=window does not read it; leave it out"),
    (["augment=none", "color=.9"], "color=0.9: augment=none does not read it"),
    (["augment=image", "flip=0"], "flip=0.0: augment=image does not read it"),
    (["target=pixels", "bins=7"], "bins=7: target=pixels does not read it"),
    (["target=none", "auxiliary_weight=9"], "auxiliary_weight=9.0: target=none does not read it"),
    (["optimizer=sgd", "beta2=.5"], "beta2=0.5: optimizer=sgd does not read it"),
    (["fill=edge", "zeros=before"], "zeros=before: fill=edge does not read it"),
    (["warmup=641"], "warmup=641: longer than the run, which has passes=640; give fewer"),
    (["passes=64", "warmup=65"], "warmup=65: longer than the run"),
])  # fmt: skip
def test_a_setting_without_effect_is_refused(settings, line):
    assert line in one_line_of(*settings)


@pytest.mark.parametrize("settings", [
    ["method=moco", "negatives=batch"], ["method=moco", "decoder_width=16"], ["method=moco", "queue=32"], ["queue=64"],
    ["target=none", "auxiliary_weight=2"], ["augment=none", "crop_mix=0.5", "color=0.1"], ["warmup=640"],
    ["method=clic", "auxiliary_weight=1"], ["optimizer=sgd", "beta1=0.5"],
    ["method=moco", "color=0.1", "crop_min=0.3", "temperature=0.1"],
])  # fmt: skip
def test_its_default_and_what_the_method_reads_are_taken(settings):
    assert get_recipe("ci", settings)


def test_a_method_on_the_command_line_may_be_tried_with_any_recipe_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('base = "ci"\nnegatives = "other-images"\n')
    assert get_recipe(str(file), ["method=moco"]).method == "moco"
    file.write_text('base = "ci"\nbins = 7\n')
    assert get_recipe(str(file), ["target=pixels"]).bins == 7, "its line is idle, not wrong"
    file.write_text('base = "ci"\nbins = 7\ntarget = "pixels"\n')
    assert "mine.toml: bins=7: target=pixels does not read it" in one_line_of(recipe=str(file))
    file.write_text('base = "ci"\nmethod = "moco"\nnegatives = "other-images"\n')
    assert "mine.toml: negatives=other-images: method=moco does not read it" in one_line_of(recipe=str(file))


def test_what_a_method_ignores_changes_nothing_that_it_makes():
    for name, method in METHODS.items():
        recipe = get_recipe("ci", [f"method={name}"])
        assert set(method.ignores) <= recipe.flat().keys() and not set(method.ignores) & set(method.fixed)
        unread = {key for key, by in ignored(recipe).items() if by == "method"}
        changed = recipe.changed({key: other for key, other in (OTHERS | UNREAD).items() if key in unread})
        assert changed != recipe, f"{name}: nothing is tried"
        images, noise = (
            torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8),
            torch.rand(3, method.draws_per_image(recipe.views)),
        )
        losses = []
        for each in (recipe, changed):
            torch.manual_seed(0)
            model = method.build(each.model, each.learner)
            losses.append(model(method.make_views(images, noise, each.views)).total)
        assert losses[0] == losses[1], name


OTHERS = {
    "crop_min": 0.1, "flip": 0.0, "color": 0.9, "blur": 0.0, "bins": 7, "unit": "normalised", "auxiliary_weight": 9.0,
    "decoder_width": 32, "decoder_depth": 2, "decoder_heads": 1, "beta2": 0.5, "zeros": "before", "fill": "edge",
}  # fmt: skip
UNREAD = {"negatives": "same-image", "target": "pixels", "key_patches": "full", "compare": "image", "queue": 3}


@pytest.mark.parametrize("by, settings, keys", [
    ("crop", ["crop=window"], None), ("augment", ["augment=none"], None), ("augment", ["augment=image"], ["flip"]),
    ("target", ["target=pixels"], None), ("target", ["target=frequency"], None), ("target", ["target=none"], None),
    ("optimizer", ["optimizer=sgd"], None), ("fill", ["fill=edge"], None), ("fill", ["fill=image"], None),
    ("max_shift", ["max_shift=0"], None),
])  # fmt: skip
def test_an_idle_setting_changes_nothing_and_another_one_something(by, settings, keys):
    """What one step of training makes of a batch, with and without the change."""
    recipe = get_recipe("ci", settings)
    idle = {key for key, why in ignored(recipe).items() if why == by}
    assert idle and (keys is None or idle == set(keys))
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def step(recipe):
        torch.manual_seed(0)
        method = METHODS[recipe.method]
        model = method.build(recipe.model, recipe.learner)
        views = method.make_views(images, torch.rand(3, method.draws_per_image(recipe.views)), recipe.views)
        optimizer = make_optimizer(model, recipe)
        for _ in range(2):
            model(views).total.backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.query.parameters()])

    was = step(recipe)
    for key, other in OTHERS.items():
        if key in idle:
            assert step(recipe.changed({key: other})).equal(was), key
    plain = step(get_recipe("ci"))
    for key in idle - {"decoder_heads"}:
        assert not step(get_recipe("ci").changed({key: OTHERS[key]})).equal(plain), key


@pytest.mark.parametrize("settings", [
    ["batch=1", "negatives=other-images"], ["batch=1", "negatives=same-position"], ["batch=1", "compare=image"],
    ["batch=1", "mask_ratio=0.95"], ["mask_ratio=0.95", "negatives=same-image"],
])  # fmt: skip
def test_a_batch_without_negatives_is_refused(settings):
    assert "negatives" in one_line_of(*settings)


@pytest.mark.parametrize("settings", [["batch=1"], ["batch=1", "negatives=same-image"], ["batch=1", "method=moco"]])
def test_one_image_with_negatives_is_a_batch(settings):
    assert get_recipe("ci", settings).batch == 1
