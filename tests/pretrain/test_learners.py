"""Every method trains through the same loop and goes on exactly where it was stopped, its queue included."""

import numpy as np
import pytest
import torch

from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.models.by_name import load_encoder
from clicv2lite.pretrain import checkpoint, engine
from clicv2lite.pretrain.diagnostics import similarities
from clicv2lite.pretrain.engine import Pretraining, pretrain, train_step
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.pretrain.log import read_log
from clicv2lite.pretrain.monitor import TIMING
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe

SHORT = ["batch=8", "passes=80", "warmup=16", "lr=0.0005", "save_every=3", "log_every=2", "seed=3"]
NEW = ["moco", "clic"]  # those with a queue


def of(method, queue=20):
    """The settings of a method: some read `queue`."""
    return [f"method={method}", *([f"queue={queue}"] if hasattr(METHODS[method].settings(), "queue") else [])]


class PowerCut(BaseException):
    pass


def build(recipe):
    return METHODS[recipe.method].build(recipe.model, recipe.learner)


def run(photos, out, recipe, **options):
    return pretrain(Pretraining(recipe, [str(photos)], out, device="cpu", progress=False, **options))


@pytest.fixture(scope="module", params=[method for method in METHODS if method != "clicv2"])  # test_engine cuts off clicv2
def finished(photos, tmp_path_factory, request):
    """The recipe of a method, and the folder of its run that nothing stopped."""
    recipe, out = get_recipe("ci", [*SHORT, *of(request.param)]), tmp_path_factory.mktemp("runs") / request.param
    assert run(photos, out, recipe)
    return recipe, out


@pytest.mark.parametrize("step", [2, 7])
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(photos, finished, tmp_path, monkeypatch, step):
    recipe, whole = finished

    def acting(model, optimizer, batch, *others):
        if batch.step == step:
            raise PowerCut
        return train_step(model, optimizer, batch, *others)

    with monkeypatch.context() as patched:
        patched.setattr(engine, "train_step", acting)
        with pytest.raises(PowerCut):
            run(photos, tmp_path / "cut", recipe)
    assert run(photos, tmp_path / "cut", recipe, resume=True)
    for name in ("encoder.safetensors", "checkpoints/step-000000010.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (whole / name).read_bytes()
    rows, wanted = ([{k: v for k, v in row.items() if k not in TIMING} for row in read_log(folder / "metrics.jsonl")]
                    for folder in (tmp_path / "cut", whole))  # fmt: skip
    assert rows == wanted and len(wanted) == 5


@pytest.mark.parametrize("method", NEW)
def test_the_queue_is_part_of_a_checkpoint(photos, tmp_path, method):
    recipe = get_recipe("ci", [*SHORT, *of(method)])
    feed = Feed(open_images([str(photos)]), recipe, progress=False)
    torch.manual_seed(0)
    model = build(recipe)
    optimizer = make_optimizer(model, recipe)
    before = model.queue.clone()
    with feed:
        train_step(model, optimizer, next(iter(feed)), recipe)
    assert not model.queue.equal(before) and model.queue[8:].equal(before[:12])
    checkpoint.save(tmp_path, 1, model, optimizer)
    torch.manual_seed(1)
    other = build(recipe)
    assert checkpoint.restore(tmp_path, other, make_optimizer(other, recipe)) == 1 and other.queue.equal(model.queue)
    larger = build(get_recipe("ci", [*SHORT, f"method={method}", "queue=21"]))
    with pytest.raises(UserError, match="belongs to another model"):
        checkpoint.restore(tmp_path, larger, make_optimizer(larger, recipe))


@pytest.mark.parametrize("method", NEW)
def test_training_tells_images_apart(method):
    """The two crops of an image come closer than those of different images, and the activations learn the entropy."""
    recipe = get_recipe("ci", [*SHORT, *of(method), "lr=0.003", "passes=640", "momentum=0.9"])
    feed = Feed(open_images(["worlds:64"]), recipe, progress=False)
    torch.manual_seed(0)
    model = build(recipe)
    optimizer = make_optimizer(model, recipe)
    with feed:
        outputs = [train_step(model, optimizer, batch, recipe)[0] for batch in feed]
    assert len(outputs) == 80
    gap = [np.subtract(*similarities(output.queries[:, 0], output.keys[:, 0])) for output in outputs]
    entropy = [output.auxiliary.item() for output in outputs]
    assert np.mean(gap[-10:]) > 1.5 * np.mean(gap[:10])
    assert method == "moco" or np.mean(entropy[-5:]) < 0.5 * np.mean(entropy[:5])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("settings", [["class_token=true"], ["precision=bf16", "batch=1"], ["precision=fp32"]])
def test_every_method_trains(photos, tmp_path, method, settings):
    short = ["batch=4", "passes=8", "warmup=0", "log_every=1", "save_every=1"]
    recipe = get_recipe("ci", [*short, *of(method, 1 if "precision=fp32" in settings else 8), *settings])
    assert run(photos, tmp_path / "run", recipe)
    assert all(np.isfinite(value) for row in read_log(tmp_path / "run" / "metrics.jsonl") for value in row.values())
    assert load_encoder(str(tmp_path / "run")).features(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).isfinite().all()


def test_a_method_brings_its_settings_unless_they_are_set():
    moco, clic, clicv2 = (get_recipe("lite", [f"method={method}"]) for method in ("moco", "clic", "clicv2"))
    assert clicv2 == get_recipe("lite")
    assert (moco.mask_ratio, moco.max_shift, moco.augment, moco.crop, moco.crop_min) == (0, 0, "image", "resized", 0.2)
    assert (clic.auxiliary_weight, clic.color, clic.blur) == (0.25, 0.4, 0.5)
    assert (clic.width, clic.depth, clic.batch, clic.lr, clic.passes, clic.pool) == (
        clicv2.width, clicv2.depth, clicv2.batch, clicv2.lr, clicv2.passes, clicv2.pool)  # fmt: skip
    own = get_recipe("lite", ["crop_min=0.6", "method=clic", "auxiliary_weight=3", "color=0.1"])
    assert (own.crop_min, own.auxiliary_weight, own.color, own.blur) == (0.6, 3, 0.1, 0.5)


@pytest.mark.parametrize("settings, reason", [
    (["method=none-such"], f"method must be {' or '.join(METHODS)}"), (["queue=0"], "must be above 0"),
    (["method=moco", "queue=641"], "no more than passes=640"), (["method=clic", "mask_ratio=0.6"], "=clic has mask_ratio=0"),
    (["method=moco", "augment=patch"], "method=moco has augment=image"), (["method=moco", "max_shift=2"], "leave it out"),
    (["method=moco", "crop=window"], "method=moco has crop=resized"),
])  # fmt: skip
def test_settings_that_a_method_has_no_use_for_are_one_line(settings, reason):
    with pytest.raises(UserError) as caught:
        get_recipe("ci", settings)
    assert reason in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).startswith("--set ")


def test_another_method_is_another_run(photos, tmp_path):
    recipe = get_recipe("ci", [*SHORT, "passes=24"])
    assert run(photos, tmp_path / "run", recipe)
    with pytest.raises(UserError, match=r"--resume with other settings \(.*method clicv2 -> moco"):
        run(photos, tmp_path / "run", get_recipe("ci", [*SHORT, "passes=24", *of("moco")]), resume=True)


def test_a_run_from_before_there_was_a_choice_goes_on(photos, tmp_path):
    recipe = get_recipe("ci", [*SHORT, "passes=24"])
    assert run(photos, tmp_path / "run", recipe)
    path = tmp_path / "run" / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"method": "clicv2",', "").replace('"queue": 64,', ""))
    assert path.read_text() != text and run(photos, tmp_path / "run", recipe, resume=True)
