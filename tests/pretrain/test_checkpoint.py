import hashlib
import os
import pickle
import shutil

import pytest
import safetensors.torch
import torch

from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.pretrain import checkpoint
from clicv2lite.pretrain.engine import train_step
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe

SMALL = ["size=16", "patch=4", "width=8", "heads=1", "depth=1", "decoder_width=8", "batch=4", "store=16"]


@pytest.fixture(scope="module")
def images(photos):
    return open_images([str(photos)])


def take(images, recipe, step):
    """The batch of a step."""
    with Feed(images, recipe, start=step, progress=False) as feed:
        return next(iter(feed))


def new(*settings, seed=0):
    torch.manual_seed(seed)
    recipe = get_recipe("ci", [*SMALL, *settings])
    model = CLICv2(recipe.model)
    return model, make_optimizer(model, recipe), recipe


def trained(images, steps, *settings):
    model, optimizer, recipe = new(*settings)
    for step in range(steps):
        train_step(model, optimizer, take(images, recipe, step), recipe)
    return model, optimizer, recipe


def state(model, optimizer):
    """All there is to restore, as named tensors."""
    named = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    for name, p in model.named_parameters():
        named |= {f"{field}.{name}": value.clone() for field, value in optimizer.state.get(p, {}).items()}
    return named


def same(a, b):
    return a.keys() == b.keys() and all(a[name].equal(b[name]) and a[name].dtype == b[name].dtype for name in a)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["class_token=true"],
        ["mask_ratio=0"],
        ["auxiliary_weight=0"],
        ["optimizer=sgd", "lr=0.05"],
        ["optimizer=sgd", "beta1=0"],
    ],
)
def test_a_restored_run_goes_on_exactly_as_the_one_that_was_saved(images, tmp_path, settings):
    model, optimizer, recipe = trained(images, 2, *settings)
    path = checkpoint.save(tmp_path, 2, model, optimizer)
    assert path.name == "step-000000002.safetensors" and names(tmp_path) == [
        "step-000000002.safetensors",
        "step-000000002.sha256",
    ]
    other, another_optimizer, _ = new(*settings, seed=9)
    assert checkpoint.restore(tmp_path, other, another_optimizer) == 2
    assert same(state(other, another_optimizer), state(model, optimizer))
    for step in (2, 3):
        batch = take(images, recipe, step)
        train_step(model, optimizer, batch, recipe)
        train_step(other, another_optimizer, batch, recipe)
    assert same(state(other, another_optimizer), state(model, optimizer))


def test_without_a_checkpoint_nothing_changes(tmp_path):
    model, optimizer, _ = new()
    before = state(model, optimizer)
    assert checkpoint.restore(tmp_path, model, optimizer) == checkpoint.restore(tmp_path / "none", model, optimizer) == 0
    assert same(state(model, optimizer), before)


def test_the_newest_two_are_kept(images, tmp_path):
    model, optimizer, _ = trained(images, 1)
    for step in (5, 90, 100, 1000):
        checkpoint.save(tmp_path, step, model, optimizer)
    assert names(tmp_path) == [f"step-{step:09d}.{kind}" for step in (100, 1000) for kind in ("safetensors", "sha256")]
    assert checkpoint.restore(tmp_path, *new()[:2]) == 1000


@pytest.fixture(scope="module")
def two_for_all(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    model, optimizer, recipe = trained(images, 1)
    checkpoint.save(folder, 1, model, optimizer)
    first = state(model, optimizer)
    train_step(model, optimizer, take(images, recipe, 1), recipe)
    checkpoint.save(folder, 2, model, optimizer)
    return folder, first


@pytest.fixture
def two(two_for_all, tmp_path):
    """A folder of the test's own with the checkpoints of steps 1 and 2, and the state at step 1."""
    folder, first = two_for_all
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path, first


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [
    lambda path: flip(path, 3), lambda path: flip(path, -1), lambda path: flip(path, 5000),
    lambda path: path.write_bytes(path.read_bytes()[:-100]), lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    lambda path: path.with_suffix(".sha256").unlink(), lambda path: path.with_suffix(".sha256").write_bytes(b"\xff\xfe"),
    lambda path: flip(path.with_suffix(".sha256"), 0),
])  # fmt: skip
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(two, damage, capsys):
    folder, first = two
    damage(folder / "step-000000002.safetensors")
    model, optimizer, _ = new(seed=9)
    assert checkpoint.restore(folder, model, optimizer) == 1
    assert same(state(model, optimizer), first)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "step-000000002.safetensors: damaged" in err


@pytest.mark.parametrize("damage", [
    lambda path: flip(path, 2000),
    lambda path: path.with_suffix(".sha256").unlink(),  # not copied along
    lambda path: linked(path, "nowhere"),
])  # fmt: skip
def test_checkpoints_that_cannot_be_used_are_never_replaced_by_a_fresh_start(two, damage, capsys):
    folder, _ = two
    for step in (1, 2):
        damage(folder / f"step-{step:09d}.safetensors")
    model, optimizer, _ = new(seed=9)
    before = state(model, optimizer)
    with pytest.raises(UserError, match=r"step-000000002.*its \.sha256, or move .* away to start afresh") as caught:
        checkpoint.restore(folder, model, optimizer)
    assert "\n" not in str(caught.value) and same(state(model, optimizer), before)
    assert capsys.readouterr().err == ""  # the refusal says it


@pytest.mark.parametrize("steps, kept", [([1], [1]), ([1, 3], [1, 3]), ([1, 3, 4], [3, 4])])
def test_a_new_checkpoint_stays_and_the_damaged_ones_above_it_go(two, steps, kept):
    folder, _ = two
    for old, above in ((1, 5), (2, 10)):
        flip(folder / f"step-{old:09d}.safetensors", 2000)
        for kind in ("safetensors", "sha256"):
            (folder / f"step-{old:09d}.{kind}").rename(folder / f"step-{above:09d}.{kind}")
    model, optimizer, _ = new()
    for step in steps:
        checkpoint.save(folder, step, model, optimizer)
        assert checkpoint.restore(folder, *new(seed=9)[:2]) == step
    assert names(folder) == [f"step-{step:09d}.{kind}" for step in kept for kind in ("safetensors", "sha256")]


def test_what_a_killed_save_left_goes_with_the_next_one(two):
    folder, _ = two
    left = [".step-000000010.safetensors.deadbeef.tmp", ".step-000000010.sha256.0123abcd.tmp", "step-000000001.sha256"]
    (folder / "step-000000001.safetensors").unlink()
    for name in left[:2]:
        (folder / name).write_bytes(b"half")
    model, optimizer, _ = new()
    checkpoint.save(folder, 3, model, optimizer)
    assert names(folder) == [f"step-{step:09d}.{kind}" for step in (2, 3) for kind in ("safetensors", "sha256")]


class Bomb:
    """An object whose unpickling would leave a trace."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("with_checksum", [False, True])
def test_a_pickle_in_its_place_is_never_executed(two, with_checksum, capsys):
    folder, first = two
    path = folder / "step-000000002.safetensors"
    path.write_bytes(pickle.dumps(Bomb(folder / "executed")))
    model, optimizer, _ = new(seed=9)
    if with_checksum:
        path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    assert checkpoint.restore(folder, model, optimizer) == 1 and same(state(model, optimizer), first)
    reason = "it is not a safetensors file" if with_checksum else "its checksum differs"
    assert f"step-000000002.safetensors: damaged ({reason})" in capsys.readouterr().err
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("settings", [["width=16"], ["depth=2"], ["class_token=true"], ["decoder_depth=2"], ["target=pixels"]])
def test_a_checkpoint_of_another_model_is_one_line(two, settings):
    model, optimizer, _ = new(*settings)
    with pytest.raises(UserError, match=r"belongs to another model than this recipe; choose another --out") as caught:
        checkpoint.restore(two[0], model, optimizer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("survives", [0, 1])
def test_a_full_disk_is_one_line_and_leaves_the_checkpoints_before_it(two, monkeypatch, survives):
    folder, _ = two
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model, optimizer, _ = new()
    calls, write = [], checkpoint.write_bytes

    def full(path, data):
        calls.append(path)
        if len(calls) > survives:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    with pytest.raises(UserError, match=r"step-000000003.*the disk is full.*untouched; make room there") as caught:
        checkpoint.save(folder, 3, model, optimizer)
    assert "\n" not in str(caught.value)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert checkpoint.restore(folder, model, optimizer) == 2


def test_a_checkpoint_holds_tensors_only(two):
    tensors = safetensors.torch.load_file(two[0] / "step-000000002.safetensors")
    model = new()[0]
    assert {name.removeprefix("model.") for name in tensors if name.startswith("model.")} == set(model.state_dict())
    trained_ones = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name for name in tensors if name.startswith("optimizer.")} == {
        f"optimizer.{field}.{name}" for name in trained_ones for field in ("step", "exp_avg", "exp_avg_sq")
    }


def test_other_files_in_the_folder_are_left_alone(two):
    folder, _ = two
    for name in ("step-12.safetensors", "notes.txt", ".step-000000009.safetensors.77.tmp"):
        (folder / name).write_text("mine")
    model, optimizer, _ = new()
    checkpoint.save(folder, 3, model, optimizer)
    assert checkpoint.restore(folder, model, optimizer) == 3
    assert {"step-12.safetensors", "notes.txt", ".step-000000009.safetensors.77.tmp"} <= set(names(folder))


def linked(path, target):
    path.unlink()
    path.symlink_to(target)


def replaced(path, make):
    path.unlink()
    make(path)


@pytest.mark.parametrize("damage, reason", [
    (lambda path: replaced(path, lambda p: p.mkdir()), "not a file, or a broken link"),
    (lambda path: linked(path, "nowhere"), "not a file, or a broken link"),
    (lambda path: replaced(path, os.mkfifo), "not a file, or a broken link"),
    (lambda path: linked(path, "/dev/zero"), "not a file, or a broken link"),
    (lambda path: os.truncate(path, 2**40), "larger than any checkpoint of this model"),
    (lambda path: replaced(path.with_suffix(".sha256"), lambda p: p.mkdir()), "its checksum differs"),
    (lambda path: replaced(path.with_suffix(".sha256"), os.mkfifo), "its checksum differs"),
    (lambda path: linked(path.with_suffix(".sha256"), "/dev/zero"), "its checksum differs"),
])  # fmt: skip
def test_something_else_in_the_place_of_the_newest_checkpoint_is_passed_over(two, damage, reason, capsys):
    folder, first = two
    damage(folder / "step-000000002.safetensors")
    model, optimizer, _ = new(seed=9)
    assert checkpoint.restore(folder, model, optimizer) == 1 and same(state(model, optimizer), first)
    (line,) = capsys.readouterr().err.splitlines()
    assert "step-000000002.safetensors: " in line and reason in line and line.endswith("trying the checkpoint before it")
    assert checkpoint.save(folder, 3, model, optimizer).is_file()
    assert checkpoint.restore(folder, *new(seed=9)[:2]) == 3


def test_a_checkpoint_that_may_not_be_read_is_passed_over(two, monkeypatch, capsys):
    folder, first = two
    read = type(folder).read_bytes

    def refuse(path):
        if path.name == "step-000000002.safetensors":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(type(folder), "read_bytes", refuse)
    model, optimizer, _ = new(seed=9)
    assert checkpoint.restore(folder, model, optimizer) == 1 and same(state(model, optimizer), first)
    assert "step-000000002.safetensors: cannot be read (Permission denied); trying" in capsys.readouterr().err


NORM = "query.norm.weight"


@pytest.mark.parametrize("change", [
    lambda t: t.update({f"model.{NORM}": torch.zeros(9)}), lambda t: t.pop(f"model.{NORM}"),
    lambda t: t.update({"model.more": torch.zeros(1)}), lambda t: t.update({f"optimizer.step.{NORM}": torch.zeros(3)}),
    lambda t: t.pop(f"optimizer.exp_avg.{NORM}"), lambda t: t.update({f"optimizer.exp_avg.{NORM}": torch.zeros(1)}),
    lambda t: t.update({f"model.{NORM}": torch.zeros(8, dtype=torch.float64)}),
    lambda t: t.clear() or t.update(x=torch.zeros(1)),
])  # fmt: skip
def test_a_checkpoint_whose_tensors_do_not_fit_changes_nothing_and_is_passed_over(two, change, capsys):
    folder, first = two
    path = folder / "step-000000002.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    path.write_bytes(safetensors.torch.save(tensors))
    path.with_suffix(".sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    model, optimizer, _ = new(seed=9)
    assert checkpoint.restore(folder, model, optimizer) == 1 and same(state(model, optimizer), first)
    assert "step-000000002.safetensors: belongs to another model than this recipe; trying" in capsys.readouterr().err
