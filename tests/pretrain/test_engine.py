import json
import os
import shutil
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError
from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.method.views import ViewConfig, draws_per_image, make_views, uniform
from clicv2lite.models.by_name import load_encoder
from clicv2lite.pretrain import engine
from clicv2lite.pretrain.engine import Pretraining, plain_attention, pretrain, train_step
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.pretrain.input.store import ImageStore
from clicv2lite.pretrain.log import read_log
from clicv2lite.pretrain.monitor import TIMING
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.recipes.library import get_recipe

TEN_STEPS = ["batch=8", "passes=80", "warmup=16", "lr=0.0005", "save_every=3", "log_every=2", "seed=3"]
RECIPE = get_recipe("ci", TEN_STEPS)


def run(photos, out, recipe=RECIPE, **options):
    return pretrain(Pretraining(recipe, [str(photos)], out, device="cpu", progress=False, **options))


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """The folder of a run that nothing stopped."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    assert run(photos, out)
    return out


def weights(out):
    return (out / "encoder.safetensors").read_bytes()


def rows(out):
    """The metrics of a run but for its speed."""
    return [{k: v for k, v in row.items() if k not in TIMING} for row in read_log(out / "metrics.jsonl")]


def stop_at(monkeypatch, step, action):
    """Do something instead of, or before, training step number `step`."""

    def acting(model, optimizer, batch, *others):
        if batch.step == step:
            action()
        return train_step(model, optimizer, batch, *others)

    monkeypatch.setattr(engine, "train_step", acting)


class PowerCut(BaseException):
    pass


def power_cut():
    raise PowerCut


def test_a_run_writes_its_configuration_its_metrics_and_two_checkpoints(finished):
    assert sorted(path.name for path in finished.iterdir()) == [
        "checkpoints",
        "config.json",
        "encoder.safetensors",
        "metrics.jsonl",
    ]
    kept = sorted(path.name for path in (finished / "checkpoints").glob("*.safetensors"))
    assert kept == ["step-000000009.safetensors", "step-000000010.safetensors"]  # the last step, and the one before it
    config = json.loads((finished / "config.json").read_text())
    assert config["images"] == 10 and config["recipe"]["seed"] == 3 and config["recipe"]["width"] == RECIPE.width
    assert {"command", "commit", "hardware", "versions"} <= config.keys()
    found = read_log(finished / "metrics.jsonl")
    assert [row["step"] for row in found] == [2, 4, 6, 8, 10] and [row["passes"] for row in found] == [16, 32, 48, 64, 80]
    for row in found:
        assert row.keys() >= {"total", "contrast", "entropy", "lr", "gradient_norm", "feature_std", "effective_rank",
                              "positive_similarity", "negative_similarity", "images_per_second", "seconds"}  # fmt: skip
        assert row["total"] == pytest.approx(row["contrast"] + RECIPE.auxiliary_weight * row["entropy"], rel=1e-5)
    seconds = [row["seconds"] for row in found]
    assert seconds == sorted(seconds)


def test_the_exported_encoder_is_the_query_encoder_of_the_recipe(finished):
    encoder = load_encoder(str(finished))
    assert encoder.config.encoder == RECIPE.encoder and encoder.config.pool == RECIPE.pool
    features = encoder.features(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert features.shape == (2, 64) and features.isfinite().all()


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_does_not(photos, finished, tmp_path):
    assert run(photos, tmp_path / "again") and weights(tmp_path / "again") == weights(finished)
    assert rows(tmp_path / "again") == rows(finished)
    assert run(photos, tmp_path / "other", replace(RECIPE, seed=4)) and weights(tmp_path / "other") != weights(finished)


def test_images_read_as_they_are_needed_give_the_same_run(photos, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageStore.__init__, "__defaults__", (0, True))  # no memory for decoded images
    assert run(photos, tmp_path / "out") and weights(tmp_path / "out") == weights(finished)


@pytest.mark.parametrize("step", [0, 2, 3, 8, 9])
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(photos, finished, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patched:
        stop_at(patched, step, power_cut)
        with pytest.raises(PowerCut):
            run(photos, tmp_path / "run")
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    assert run(photos, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(finished) and rows(tmp_path / "run") == rows(finished)
    last = "checkpoints/step-000000010.safetensors"  # with what the optimizer remembers
    assert (tmp_path / "run" / last).read_bytes() == (finished / last).read_bytes()


def test_a_run_cut_off_twice_and_with_a_damaged_checkpoint_ends_in_the_same_bytes(
    photos, finished, tmp_path, monkeypatch, capsys
):
    for step, resume in ((4, False), (8, True)):
        with monkeypatch.context() as patched:
            stop_at(patched, step, power_cut)
            with pytest.raises(PowerCut):
                run(photos, tmp_path / "run", resume=resume)
    (tmp_path / "run" / "checkpoints" / "step-000000006.safetensors").write_bytes(b"torn")
    assert run(photos, tmp_path / "run", resume=True) and weights(tmp_path / "run") == weights(finished)
    assert "damaged" in capsys.readouterr().err and rows(tmp_path / "run") == rows(finished)


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_after_the_step_and_the_run_can_go_on(photos, finished, tmp_path, monkeypatch, number):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        stop_at(patched, 4, lambda: os.kill(os.getpid(), number))
        assert run(photos, tmp_path / "run") is False
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert (tmp_path / "run" / "checkpoints" / "step-000000005.safetensors").is_file()
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    assert run(photos, tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(finished) and rows(tmp_path / "run") == rows(finished)


def test_a_run_in_a_thread_leaves_signals_alone(photos, finished, tmp_path):
    result = []
    thread = threading.Thread(target=lambda: result.append(run(photos, tmp_path / "run")))
    thread.start()
    thread.join()
    assert result == [True] and weights(tmp_path / "run") == weights(finished)


def test_resume_of_a_finished_run_and_of_nothing(photos, finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "encoder.safetensors").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(engine, "train_step", power_cut)  # no step is done again
        assert run(photos, tmp_path / "run", resume=True) and weights(tmp_path / "run") == weights(finished)
    assert run(photos, tmp_path / "new", resume=True) and weights(tmp_path / "new") == weights(finished)


@pytest.mark.parametrize("save_every, saved", [(1000, [10]), (5, [5, 10])])
def test_the_last_step_is_saved_once(photos, finished, tmp_path, monkeypatch, save_every, saved):
    calls, save = [], engine.checkpoint.save
    monkeypatch.setattr(
        engine.checkpoint, "save", lambda folder, step, *parts: (calls.append(step), save(folder, step, *parts))
    )
    assert run(photos, tmp_path / "run", replace(RECIPE, save_every=save_every))
    assert calls == saved and weights(tmp_path / "run") == weights(finished)


def refused(*arguments, **options):
    with pytest.raises(UserError) as caught:
        run(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_run_is_never_overwritten_by_accident(photos, finished):
    before = weights(finished)
    assert "holds a run already; add --resume" in refused(photos, finished)
    message = refused(photos, finished, replace(RECIPE, lr=0.5, seed=8), resume=True)
    assert "--resume with other settings (lr 0.0005 -> 0.5, seed 3 -> 8)" in message
    assert weights(finished) == before


def test_other_images_are_another_run(photos, finished, tmp_path):
    shutil.copy(photos / "1.png", tmp_path / "1.png")
    assert "images 10 -> 1" in refused(tmp_path, finished, resume=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"recipe": 3, "images": 1}', "3"])
def test_a_configuration_that_cannot_be_read_is_one_line(photos, tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    assert "config.json: not readable" in refused(photos, tmp_path, resume=True)


def test_a_folder_that_cannot_be_written_is_one_line(photos, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(photos, tmp_path / "file" / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_one_line(photos, tmp_path):
    with pytest.raises(UserError, match=r"--device cuda: .*no usable GPU"):
        pretrain(Pretraining(RECIPE, [str(photos)], tmp_path / "run", device="cuda", progress=False))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def training(photos):
    """A model, its optimizer and its batches."""
    torch.manual_seed(0)
    model = CLICv2(RECIPE.model)
    with Feed(open_images([str(photos)]), replace(RECIPE, passes=8 * 40), progress=False) as feed:
        yield model, make_optimizer(model, RECIPE), iter(feed)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(training, monkeypatch, value):
    model, optimizer, batches = training
    train_step(model, optimizer, next(batches), RECIPE)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    moments = [tensor.clone() for p in optimizer.state.values() for tensor in p.values()]

    def poisoned(*arguments):
        views = make_views(*arguments)
        return views._replace(target=views.target * value)

    monkeypatch.setitem(METHODS, "clicv2", replace(METHODS["clicv2"], make_views=poisoned))
    with pytest.raises(UserError, match=r"step 2: the loss is (nan|inf) \(images .*\.png.*lower --set lr") as caught:
        train_step(model, optimizer, next(batches), RECIPE)
    assert "\n" not in str(caught.value)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert all(a.equal(b) for a, b in zip(moments, [t for p in optimizer.state.values() for t in p.values()], strict=True))


@pytest.mark.parametrize("view", ["query", "key"])
def test_the_image_whose_features_are_not_finite_is_named_and_no_other(training, monkeypatch, view):
    model, optimizer, batches = training
    batch = next(batches)

    def poisoned(*arguments):
        views = make_views(*arguments)
        getattr(views, view)[5] = float("nan")
        return views

    monkeypatch.setitem(METHODS, "clicv2", replace(METHODS["clicv2"], make_views=poisoned))
    with pytest.raises(UserError) as caught:
        train_step(model, optimizer, batch, RECIPE)
    assert f"(images {batch.names[batch.index[5]]}, ...)" in str(caught.value)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_change(training):
    model, optimizer, batches = training
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.query_head[0].weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(UserError, match=r"step 1: the gradient norm is nan \(images .*lower --set lr"):
        train_step(model, optimizer, next(batches), RECIPE)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_a_step_is_gradient_clipping_adamw_and_the_momentum_update(training):
    model, optimizer, batches = training
    recipe = replace(RECIPE, clip=0.01, precision="fp32", warmup=0)
    key = [p.clone() for p in model.key.parameters()]
    output, norm = train_step(model, optimizer, next(batches), recipe)
    clipped = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert norm > 0.01 and float(clipped) == pytest.approx(0.01, rel=1e-3) and output.total.isfinite()
    assert all(group["lr"] == recipe.lr for group in optimizer.param_groups)
    for before, now, query in zip(key, model.key.parameters(), model.query.parameters(), strict=True):
        np.testing.assert_allclose(now, 0.99 * before + 0.01 * query.detach(), atol=1e-6)


def test_training_learns_the_entropy_of_masked_patches(training):
    """Over and over the same few images: the reconstruction must become better than at the start."""
    model, optimizer, batches = training
    recipe = replace(RECIPE, lr=3e-3, passes=8 * 40)
    errors = [train_step(model, optimizer, batch, recipe)[0].auxiliary.item() for batch in batches]
    assert len(errors) == 40
    assert np.mean(errors[-5:]) < 0.5 * np.mean(errors[:5])


def test_the_views_of_a_sample_are_the_same_whatever_batch_it_is_in(photos):
    config = ViewConfig(size=32, patch=8)
    store = ImageStore(open_images([str(photos)]), 40, 1, progress=False)
    epoch, index = np.array([0, 0, 2, 1]), np.array([3, 9, 3, 0])
    noise = uniform(7, epoch, index, draws_per_image(config))
    images = torch.stack([store.image(i) for i in index])
    together = make_views(images, noise, config)
    for i in range(4):
        row = slice(i, i + 1)
        alone = make_views(images[row], uniform(7, epoch[row], index[row], draws_per_image(config)), config)
        assert all(a.equal(b[row]) for a, b in zip(alone, together, strict=True))
    assert not together.query[0].equal(together.query[2])  # the same image in another epoch


def test_damaged_images_are_replaced_counted_and_listed(photos, tmp_path, capsys):
    folder = tmp_path / "images"
    shutil.copytree(photos, folder)
    for i in (4, 2):
        (folder / f"{i}.png").write_text("damaged")
    assert run(folder, tmp_path / "run", replace(RECIPE, passes=16))
    lines = (tmp_path / "run" / "bad_images.txt").read_text().splitlines()
    assert len(lines) == 2 and "2.png" in lines[0] and "4.png" in lines[1]
    assert "clicv2lite: 2 images could not be decoded" in capsys.readouterr().err


def test_plain_attention_is_the_same_arithmetic():
    torch.manual_seed(0)
    model = CLICv2(RECIPE.model)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = model.query.forward_features(images)
        plain_attention(model)
        np.testing.assert_allclose(model.query.forward_features(images), before, atol=1e-5)
    assert not any(module.fused_attn for module in model.modules() if hasattr(module, "fused_attn"))


@pytest.mark.parametrize("settings", [
    ["mask_ratio=0"], ["mask_ratio=0.95"], ["key_patches=full", "augment=image"], ["negatives=other-images", "batch=2"],
    ["batch=1"],
    ["target=pixels"], ["target=frequency", "zeros=before"], ["class_token=true", "crop=window"], ["unit=normalised", "bins=4"],
    ["target=none", "negatives=same-position"], ["patch=32", "max_shift=40"], ["precision=fp32"], ["precision=bf16"],
])  # fmt: skip
def test_every_choice_trains(photos, tmp_path, settings):
    recipe = get_recipe("ci", ["batch=4", "passes=8", "warmup=0", "log_every=1", "save_every=1", *settings])
    assert run(photos, tmp_path / "run", recipe)
    assert all(np.isfinite(value) for row in read_log(tmp_path / "run" / "metrics.jsonl") for value in row.values())
    assert run(photos, tmp_path / "run", recipe, resume=True)
    assert load_encoder(str(tmp_path / "run")).features(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).isfinite().all()
