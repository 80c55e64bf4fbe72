"""A recipe from a TOML file: the same as by --set, and every mistake in it is one line that names the file."""

import dataclasses

import pytest

from clicv2lite.errors import UserError
from clicv2lite.recipes.library import get_recipe


def written(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


TEXT = """# half as long, without the shift
base = "lite"
passes = 128_000
max_shift = 0
lr = 2e-3
pool_blocks = [0, -1]
class_token = true
bins = "none"
negatives = "other-images"
"""


def test_a_file_changes_its_base_as_set_does(tmp_path):
    words = ["passes=128000", "max_shift=0", "lr=0.002", "pool_blocks=0,-1", "class_token=true", "bins=none"]
    wanted = get_recipe("lite", [*words, "negatives=other-images"])
    assert get_recipe(written(tmp_path, TEXT)) == dataclasses.replace(wanted, name="mine")


def test_what_follows_other_settings_follows_those_of_a_file(tmp_path):
    recipe = get_recipe(written(tmp_path, 'base = "lite"\nbatch = 128\npasses = 512_000\nmethod = "clic"\nname = "big"\n'))
    plain = get_recipe("lite")
    assert (recipe.lr, recipe.warmup, recipe.name) == (2 * plain.lr, 2 * plain.warmup, "big")
    assert recipe.auxiliary_weight == 0.25 and recipe.crop == "resized"


def test_set_counts_more_than_the_file(tmp_path):
    recipe = get_recipe(written(tmp_path, TEXT), ["max_shift=2", "seed=9"])
    assert (recipe.max_shift, recipe.seed, recipe.passes) == (2, 9, 128_000)


@pytest.mark.parametrize("text, reason", [
    ("passes = 3", 'names no base; begin with a line such as base = "lite"'), ("base = 3", "names no base"),
    ('base = "vit-h14"', "base = 'vit-h14': no such recipe"), ('base = "ci"\nspeed = 3', "there is no setting speed"),
    ('base = "ci"\nseed = 1.5', "seed = 1.5 must be a whole number"),
    ('base = "ci"\nlr = "0.1"', "lr = '0.1' must be a number"),
    ('base = "ci"\nlr = [1]', "lr = [1] must be a number"), ('base = "ci"\nclip = true', "clip = True must be a number"),
    ('base = "ci"\nnegatives = "all"', "must be batch or other-images"), ('base = "ci', "is not TOML"),
    ('base = "ci"\n[pool]\nsize = 32', "there is no setting pool"), ("base = \udcff", "is not TOML"),
    ('base = "ci"\nweight = 0.3\nauxiliary_weight = 0.4', "auxiliary_weight is there twice"),
    ('base = "other.toml"', "base = 'other.toml': no such recipe"),
    ('base = "ci"\nwidth = 30', "mine.toml: width=30: must be a multiple of 4"),
])  # fmt: skip
def test_a_mistake_in_a_file_is_one_line(tmp_path, text, reason):
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        get_recipe(str(path))
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"--recipe .*none\.toml: cannot be read \(No such file"):
        get_recipe(str(tmp_path / "none.toml"))


def test_a_byte_order_mark_and_capitals_do_no_harm(tmp_path):
    path = tmp_path / "MINE.TOML"
    path.write_bytes(b'\xef\xbb\xbfbase = "ci"\nseed = 4\n')
    assert get_recipe(str(path)).seed == 4


def test_a_value_that_set_brings_is_the_fault_of_set(tmp_path):
    with pytest.raises(UserError, match=r"^--set width=30: must be a multiple of 4"):
        get_recipe(written(tmp_path, 'base = "ci"\nwidth = 32\n'), ["width=30"])


@pytest.mark.parametrize(
    "value", ["inf", "nan", "9" * 5000, "0x" + "f" * 6000, "-1e300", "[" * 100_000, "1979-05-27", "{ a = 1 }"], ids=range(8)
)
@pytest.mark.parametrize("key", ["lr", "depth", "bins", "pool_blocks", "speed", "base"])
def test_no_absurd_value_is_taken_from_a_file(tmp_path, key, value):
    base = "" if key == "base" else 'base = "ci"\n'
    with pytest.raises(UserError) as caught:
        get_recipe(written(tmp_path, f"{base}{key} = {value}\n"))
    message = str(caught.value).replace(str(tmp_path), "")
    assert message.startswith("--recipe /mine.toml: ") and "\n" not in message and (len(message) < 300 or key == "speed")
