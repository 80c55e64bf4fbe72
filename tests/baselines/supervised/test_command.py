"""The trainer: folds of the probe, schedule and order by hand, resumption fold by fold, the command's report and its errors."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from clicv2lite.baselines.supervised import folds as supervised
from clicv2lite.baselines.supervised.folds import evaluate, fold_key
from clicv2lite.baselines.supervised.networks import BASELINES
from clicv2lite.baselines.supervised.settings import SIZES, Baseline
from clicv2lite.baselines.supervised.training import GRID, augment, learning_rate, make_optimizer, order, predict, train
from clicv2lite.cli import main
from clicv2lite.errors import UserError
from clicv2lite.probe.crossval import folds
from clicv2lite.probe.task import Task

CI = BASELINES["p2pfm"].settings("ci")


class Brightness(nn.Module):
    """A baseline of two weights, so that the trainer can be watched."""

    def __init__(self, backbone, weights):
        super().__init__()
        self.backbone = nn.Linear(1, 1)
        self.other = nn.Linear(1, 1)

    def predict(self, images):
        return self.other(self.backbone(images.float().mean((1, 2, 3))[:, None]))[:, 0]

    def loss(self, images, ratings):
        return nn.functional.mse_loss(self.predict(images).float(), ratings)


@pytest.fixture
def tiny(monkeypatch):
    settings = replace(CI, epochs=20, batch=8, lr=0.05, warmup=0)
    monkeypatch.setitem(BASELINES, "tiny", Baseline(Brightness, settings, "nothing"))
    return settings


def bright(n=20, side=16, seed=0):
    rng = np.random.default_rng(seed)
    level = rng.random(n)
    return torch.from_numpy((255 * level[:, None, None, None] * np.ones((1, 3, side, side))).astype(np.uint8)), level


def task_of(scores, categories=None):
    return Task([], scores, categories, np.ones(len(scores), bool), None)


def test_training_learns_what_can_be_learned_and_the_seed_decides_the_rest(tiny):
    images, level = bright(40)
    nets = [train("tiny", tiny, images, level, seed) for seed in (1, 1, 2)]
    first, again, other = (predict(net, images, tiny) for net in nets)
    assert np.corrcoef(first, level)[0, 1] > 0.99 and np.abs(first - level).mean() < 0.1
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not nets[0].training


def test_training_leaves_the_callers_random_numbers_alone(tiny):
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    train("tiny", tiny, *bright(8), seed=1)
    assert torch.rand(3).equal(want)


def test_the_folds_are_those_of_the_probe_and_no_image_trains_its_own_score(tiny, monkeypatch):
    images, level = bright(20)
    names = ["a"] * 12 + ["b"] * 8
    made = []

    def fake(name, settings, part, ratings, seed, label, device):
        made.append((part, ratings, Brightness("", "")))
        return made[-1][-1]

    monkeypatch.setattr(supervised, "train", fake)
    found = evaluate("tiny", tiny, images, task_of(level, names), seed=7)
    assert sorted(row for part in found for row in part["rows"]) == list(range(20))
    for part, test, (seen, ratings, net) in zip(found, folds(20, 5, names, 7), made, strict=True):
        others = np.setdiff1d(np.arange(20), test)
        assert seen.equal(images[others]) and ratings.tolist() == level[others].tolist()
        assert part["rows"] == test.tolist() and part["predictions"] == predict(net, images[test], tiny).tolist()


def test_a_finished_fold_is_not_trained_again(tiny, monkeypatch, tmp_path):
    images, level = bright(20)
    want = evaluate("tiny", tiny, images, task_of(level), 0, work=tmp_path)
    assert len(list(tmp_path.glob("tiny-*.json"))) == 5
    sorted(tmp_path.glob("tiny-*.json"))[2].unlink()
    trained, real = [], train
    monkeypatch.setattr(supervised, "train", lambda *a: trained.append(1) or real(*a))
    got = evaluate("tiny", tiny, images, task_of(level), 0, work=tmp_path)
    assert len(trained) == 1 and [part["predictions"] for part in got] == [part["predictions"] for part in want]
    evaluate("tiny", replace(tiny, lr=0.04), images, task_of(level), 0, work=tmp_path)
    assert len(trained) == 6  # another configuration trains all five


@pytest.mark.parametrize("damaged", [lambda text: text[:40], lambda _: "[]", lambda text: text.replace('"rows"', '"row"')])
def test_a_fold_whose_file_is_damaged_is_trained_again(tiny, tmp_path, damaged):
    images, level = bright(20)
    want = evaluate("tiny", tiny, images, task_of(level), 0, work=tmp_path)
    path = sorted(tmp_path.glob("tiny-*.json"))[2]
    path.write_text(damaged(path.read_text()))
    got = evaluate("tiny", tiny, images, task_of(level), 0, work=tmp_path)
    assert [part["predictions"] for part in got] == [part["predictions"] for part in want]
    assert json.loads(path.read_text())["predictions"] in [part["predictions"] for part in want]


def test_a_prediction_that_is_not_finite_is_refused_and_not_left_out(tiny, monkeypatch, tmp_path):
    images, level = bright(20)
    calls, real = [], predict
    monkeypatch.setattr(supervised, "predict", lambda *a: real(*a) * (np.nan if calls.append(1) or len(calls) == 2 else 1))
    with pytest.raises(UserError, match=r"^--model tiny: a prediction is not finite; lower --lr \(now 0\.05\)$"):
        evaluate("tiny", tiny, images, task_of(level), 0, work=tmp_path)
    assert len(list(tmp_path.glob("tiny-*.json"))) == 1, "only the fold before is kept"


def test_the_key_of_a_fold_changes_with_all_it_depends_on(tiny):
    images, level = bright(6)
    fitted, tested = np.arange(4), np.arange(4, 6)
    base = ("tiny", tiny, images, level, fitted, tested, 0)
    other_pixel, other_score = images.clone(), level.copy()
    other_pixel[5, 2, 3, 3] ^= 1
    other_score[0] += 1e-9
    changes = {
        1: replace(tiny, epochs=21),
        0: "p2pfm",
        2: other_pixel,
        3: other_score,
        4: np.arange(3),
        5: np.arange(3, 6),
        6: 1,
    }
    keys = {fold_key(*[changes[i] if i == at else value for i, value in enumerate(base)]) for at in changes}
    assert len(keys) == 7 and fold_key(*base) not in keys and fold_key(*base) == fold_key(*base)


def test_a_split_trains_on_one_part_and_tests_on_the_other(tiny):
    images, level = bright(10)
    train_rows = np.arange(10) < 7
    (part,) = evaluate("tiny", tiny, images, Task([], level, None, train_rows, ~train_rows), 0)
    assert part["rows"] == [7, 8, 9] and len(part["predictions"]) == 3


def test_the_learning_rate_warms_up_and_steps_down():
    settings = replace(CI, warmup=1, milestones=(4, 6), decay=0.2)
    assert [learning_rate(e, settings) for e in (0.5, 1, 3.9, 4, 6.5)] == pytest.approx([0.5, 1, 1, 0.2, 0.04])
    assert learning_rate(0, settings) > 0


def test_the_head_learns_at_its_own_rate(tiny):
    net = Brightness("", "")
    groups = make_optimizer(net, replace(tiny, head_lr=10)).param_groups
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert rates[id(net.backbone.weight)] * 10 == pytest.approx(rates[id(net.other.weight)]) and len(rates) == 4
    assert isinstance(make_optimizer(net, replace(tiny, optimizer="sgd")), torch.optim.SGD)


@pytest.mark.parametrize(("name", "moments"), [("sgd", {"momentum": 0.8}), ("adam", {"betas": (0.8, 0.7)})])
def test_momentum_and_weight_decay_are_those_of_the_settings(tiny, name, moments):
    settings = replace(tiny, optimizer=name, momentum=0.8, beta2=0.7, weight_decay=0.3)
    for group in make_optimizer(Brightness("", ""), settings).param_groups:
        assert group.items() >= (moments | {"weight_decay": 0.3}).items()


@pytest.fixture
def rates(monkeypatch):
    """The learning rates of each step of Adam, that of the backbone first."""
    seen = []

    class Watched(torch.optim.Adam):
        def step(self, closure=None):
            seen.append([group["lr"] for group in self.param_groups])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    return seen


def test_the_warm_up_goes_on_with_every_step(tiny, rates):
    train("tiny", replace(tiny, epochs=2, batch=5, lr=0.01, head_lr=1, warmup=1), *bright(20), 0)
    assert [backbone for backbone, _ in rates] == pytest.approx([0.0001, 0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01, 0.01])


def test_training_sees_crops_of_another_order_each_epoch(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(Brightness, "loss", lambda self, x, y: seen.append((x.shape[2:], y.tolist())) or self.predict(x).mean())
    images, level = bright(20)
    train("tiny", replace(tiny, epochs=2, batch=20, crop=8, crops=1), images, level, 0)
    assert {shape for shape, _ in seen} == {(8, 8)}
    orders = [level.astype(np.float32).tolist(), *(ratings for _, ratings in seen)]
    assert [sorted(one) for one in orders] == [sorted(orders[0])] * 3 and orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize("steady", [False, True])
def test_a_steady_backbone_keeps_its_learning_rate_while_the_head_steps_down(tiny, rates, steady):
    settings = replace(tiny, epochs=4, batch=20, lr=0.01, head_lr=10, milestones=(1, 3), decay=0.1, steady=steady)
    train("tiny", settings, *bright(20), 0)
    backbone = [0.01] * 4 if steady else [0.01, 0.001, 0.001, 0.0001]
    assert rates == [pytest.approx(pair) for pair in zip(backbone, [0.1, 0.01, 0.01, 0.001], strict=True)]


def test_hyperiqa_learns_at_the_rates_of_its_published_loop():
    """The rates of HyerIQASolver.py, epoch by epoch: set once before the first, and anew after each."""
    lr, ratio = 2e-5, 10
    want = [(lr * ratio, lr)]
    for t in range(15):
        if t > 8:
            ratio = 1
        want.append((lr / 10 ** (t // 6) * ratio, lr))
    settings = BASELINES["hyperiqa"].paper
    with torch.device("meta"):
        net = BASELINES["hyperiqa"].build("resnet50", "scratch")
    backbone, head = make_optimizer(net, settings).param_groups
    names = {id(p): name for name, p in net.named_parameters()}
    inside = {names[id(p)].split(".")[1] for p in backbone["params"]}
    assert inside == {"stages", "local"} and not any(names[id(p)].startswith("backbone") for p in head["params"])
    factors = [learning_rate(epoch, settings) for epoch in range(settings.epochs)]
    got = [(head["lr"] * f, backbone["lr"] if backbone["steady"] else backbone["lr"] * f) for f in factors]
    assert got == [pytest.approx(pair) for pair in want] and len(got) == 16 and not head["steady"]


@pytest.mark.parametrize("count, batch, crops", [(10, 4, 1), (9, 4, 1), (5, 4, 1), (1, 4, 3), (8, 3, 2)])
def test_an_epoch_has_every_row_as_often_as_it_has_crops_and_no_batch_of_one(count, batch, crops):
    parts = list(order(count, replace(CI, batch=batch, crops=crops), torch.Generator().manual_seed(0)))
    assert np.bincount(torch.cat(parts), minlength=count).tolist() == [crops] * count
    assert all(len(part) > 1 for part in parts)


def test_an_image_is_mirrored_or_not_and_a_crop_is_a_piece_of_it():
    images = torch.randint(0, 256, (30, 3, 8, 8), dtype=torch.uint8)
    same = mirrored = 0
    for image, got in zip(images, augment(images, 0, torch.Generator().manual_seed(0)), strict=True):
        same, mirrored = same + got.equal(image), mirrored + got.equal(image.flip(-1))
    assert same + mirrored == 30 and min(same, mirrored) > 5
    for image, got in zip(images, augment(images, 5, torch.Generator().manual_seed(0)), strict=True):
        pieces = [x[:, y : y + 5, z : z + 5] for x in (image, image.flip(-1)) for y in range(4) for z in range(4)]
        assert any(got.equal(piece) for piece in pieces)


def test_a_prediction_averages_its_crops(tiny):
    images, _ = bright(3, 16)
    images = images.clone()
    images[:, :, :8] = 0
    net = Brightness("", "").eval()
    got = predict(net, images, replace(tiny, crop=8, crops=25))
    starts = (0, 2, 4, 6, 8)
    views = [images[:, :, y : y + 8, x : x + 8] for y in starts for x in starts]
    np.testing.assert_allclose(got, np.mean([predict(net, view, tiny) for view in views], axis=0), atol=1e-6)


def test_sizes_differ_and_only_the_papers_asks_for_imagenet():
    for name, baseline in BASELINES.items():
        ci, lite, full = (baseline.settings(size) for size in SIZES)
        assert ci.weights == lite.weights == "scratch", name
        assert full.weights == "imagenet" or name not in ("hyperiqa", "iccorn", "icnet", "kyle", "p2pfm"), name
        assert ci.epochs < lite.epochs <= full.epochs and ci.side < lite.side < full.side
        assert full.crop == 0 or full.crops == GRID**2


@pytest.fixture
def table(rated):
    return rated(12, 32)


def test_the_command_reports_as_the_probe_does(table, tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(Baseline, "settings", lambda self, size: replace(tiny, side=16, epochs=2))
    out = tmp_path / "results" / "tiny.json"
    words = ["--model", "p2pfm", "--ratings", str(table), "--size", "ci", "--work", str(tmp_path / "work"), "--json", str(out)]
    monkeypatch.setitem(BASELINES, "p2pfm", BASELINES["tiny"])
    (table.parent / "3.png").write_bytes(b"no image")
    assert main(["supervised", *words]) == 0
    result = json.loads(out.read_text())
    assert result["n"] == 11 and len(result["skipped"]) == 1 and result["folds"] == 5 and result["weights"] == "scratch"
    assert set(result["per_category"]) == {"cells", "glyphs"} and result["parameters"] == 4
    assert {"pcc", "srcc", "pcc_ci", "mean_pcc", "pcc_variance", "commit", "hardware", "seconds"} <= set(result)
    assert result["settings"]["epochs"] == 2 and result["command"].startswith("clicv2lite ")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--epochs", "0"], "number above 0"),
        (["--lr", "-1"], "number above 0"),
        (["--seed", "-1"], "whole number"),
        (["--json", "."], "is a folder"),
        (["--folds", "7"], "too few"),
    ],
)
def test_a_mistake_is_one_line(table, capsys, words, message):
    assert main(["supervised", "--model", "p2pfm", "--ratings", str(table), "--size", "ci", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and error.count("\n") == 1 and message in error


def test_a_loss_that_is_not_finite_stops_the_training(tiny):
    with pytest.raises(UserError, match=r"the loss became .* lower --lr"):
        train("tiny", replace(tiny, lr=1e30, epochs=50), *bright(8), seed=0)


def test_a_network_without_a_backbone_is_said_to_have_none(table, tmp_path, tiny, monkeypatch):
    """Also at the sizes that replace the paper's backbone by a small one; and an installed package has no commit."""
    paper = replace(tiny, backbone=None)
    monkeypatch.setitem(BASELINES, "p2pfm", Baseline(BASELINES["tiny"].build, paper, "nothing"))
    assert all(BASELINES["p2pfm"].settings(size).backbone is None for size in SIZES)
    assert (
        Baseline(BASELINES["tiny"].build, replace(tiny, backbone="resnet50"), "nothing").settings("ci").backbone == "resnet18"
    )
    monkeypatch.setattr(supervised, "commit", lambda: None)
    out = tmp_path / "tiny.json"
    words = ["--model", "p2pfm", "--ratings", str(table), "--size", "ci", "--device", "cpu", "--json", str(out)]
    assert main(["supervised", *words]) == 0
    result = json.loads(out.read_text())
    assert result["settings"]["backbone"] is None and result["commits"] == [] and "resnet" not in out.read_text()
