import json
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import untrained_encoder
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.learners import METHODS
from clicv2lite.method.clicv2 import CLICv2, Output
from clicv2lite.method.targets import TARGETS
from clicv2lite.pretrain import monitor as module
from clicv2lite.pretrain.cost.budget import image_flops
from clicv2lite.pretrain.diagnostics import diagnostics, effective_rank, feature_std, similarities
from clicv2lite.pretrain.engine import Pretraining, pretrain
from clicv2lite.pretrain.log import Log, read_log
from clicv2lite.pretrain.monitor import TIMING, Monitor, RatedSquares, Watch, memory_bytes
from clicv2lite.pretrain.optim import learning_rate
from clicv2lite.recipes.library import get_recipe

CPU, CI = torch.device("cpu"), get_recipe("ci")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(*shape, seed=0):
    return F.normalize(noise(*shape, seed=seed), dim=-1)


@pytest.mark.parametrize("d", [2, 16, 256])
def test_the_spread_is_one_on_the_whole_sphere_and_zero_at_a_point(d):
    assert feature_std(unit(5000, d)) == pytest.approx(1, abs=0.05)
    assert feature_std(unit(1, d).expand(50, d)) == pytest.approx(0, abs=1e-5)
    assert feature_std(torch.cat([unit(5000, d), torch.zeros(5000, d)], 1)) == pytest.approx(2**0.5 / 2, abs=0.05)


@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_the_effective_rank_counts_the_dimensions_used(k):
    rotation, _ = torch.linalg.qr(noise(32, 32))
    assert effective_rank(noise(2000, k) @ rotation[:k] + 3) == pytest.approx(k, rel=0.02)


def test_the_effective_rank_of_a_point_and_of_a_single_feature_is_one():
    assert effective_rank(unit(1, 8).expand(20, 8)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(unit(1, 8)) == pytest.approx(1)


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 99))
def test_the_effective_rank_is_the_entropy_of_the_singular_values(n, d, seed):
    x = noise(n, d, seed=seed)
    values = np.sqrt(np.linalg.eigvalsh(np.cov(x.double().numpy().T, bias=True).reshape(d, d)).clip(0) * n)
    p = values[values > 1e-6 * values.max()] / values.sum()
    assert effective_rank(x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-3)
    assert 1 - 1e-5 <= effective_rank(x) <= min(n, d) + 1e-3


@given(st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_similarities_are_the_means_over_a_loop_of_pairs(n, d, seed):
    queries, keys = unit(n, d, seed=seed), unit(n, d, seed=seed + 100)
    cosine = [[float(q.double() @ k.double()) for k in keys] for q in queries]
    positive = [cosine[i][i] for i in range(n)]
    negative = [cosine[i][j] for i in range(n) for j in range(n) if i != j] or [0.0]
    assert similarities(queries, keys) == pytest.approx((np.mean(positive), np.mean(negative)), abs=1e-5)


def test_diagnostics_look_at_every_patch_of_every_image():
    q, k = unit(3, 4, 8), unit(3, 4, 8, seed=1)
    found = diagnostics(q, k)
    assert found["feature_std"] == feature_std(q.reshape(12, 8)) and found["effective_rank"] == effective_rank(q.reshape(12, 8))
    assert (found["positive_similarity"], found["negative_similarity"]) == similarities(q.reshape(12, 8), k.reshape(12, 8))
    half = diagnostics(q.bfloat16(), k.bfloat16())
    assert half == pytest.approx(found, abs=0.05)


def rows_upto(step):
    return [{"step": i, "seconds": i / 2, "total": 1 / i} for i in range(1, step + 1)]


def test_a_log_comes_back_as_it_was_written(tmp_path):
    log = Log(tmp_path / "m.jsonl", 0)
    for i, row in enumerate(rows_upto(3), start=1):
        log.write(row)
        assert read_log(tmp_path / "m.jsonl") == rows_upto(i)  # flushed: a reader sees every row at once
    assert read_log(tmp_path / "absent.jsonl") == []


@pytest.mark.parametrize("torn", ["", '{"step": 6, "sec', "\x00\x00", '{"step": 6}{'])
@pytest.mark.parametrize("step", [0, 3, 5, 9])
def test_a_resumed_log_drops_later_rows_and_a_torn_last_line(tmp_path, torn, step):
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_upto(5)) + torn)
    assert read_log(path) == rows_upto(5)
    log, kept = Log(path, step), rows_upto(min(step, 5))
    assert log.seconds == (kept[-1]["seconds"] if kept else 0)
    log.write({"step": step + 1})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*kept, {"step": step + 1}]


def output(seed=0):
    return Output(*torch.tensor([3.0, 1.0, 1.0]), unit(4, 6, 16, seed=seed), unit(4, 6, 16, seed=seed + 1))


@pytest.fixture
def rated(tmp_path, photos):
    """A rating table of the ten noisy images: the stronger the noise, the higher the score."""
    table = tmp_path / "ratings.csv"
    table.write_text("image,score\n" + "".join(f"{photos / f'{i}.png'},{i / 10}\n" for i in range(10)))
    return table


def test_a_row_has_the_losses_the_diagnostics_and_the_speed_in_this_order(tmp_path):
    monitor, given = Monitor(tmp_path, CI, CPU, ranks=2), output()
    row = monitor.record(6, given, 0.5, rate=120.04, wait=0.123456, seconds=7.77)
    monitor.close()
    assert list(row) == [
        "step", "passes", "total", "contrast", "entropy", "lr", "gradient_norm", "feature_std", "effective_rank",
        "positive_similarity", "negative_similarity", "images_per_second", "seconds", "data_wait", "mfu", "memory_bytes",
    ]  # fmt: skip
    assert (row["step"], row["passes"], row["total"], row["gradient_norm"]) == (7, 7 * 16, 3, 0.5)
    assert row["lr"] == learning_rate(6, CI) and diagnostics(given.queries, given.keys).items() <= row.items()
    assert (row["images_per_second"], row["seconds"], row["data_wait"]) == (120.0, 7.8, 0.1235)
    assert read_log(tmp_path / "metrics.jsonl") == [row] and set(TIMING) == set(list(row)[-5:])
    assert 5e7 < row["memory_bytes"] < 1e12 and row["memory_bytes"] <= memory_bytes(CPU)


def test_the_share_of_the_peak_is_operations_a_second_over_that_of_all_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "peak", lambda device, precision: 1e9)
    each = sum(sum(part) for part in image_flops(CI).values())
    row = Monitor(tmp_path, CI, CPU, ranks=2).record(0, output(), 1.0, 500.0, 0.0, 1.0)
    assert row["mfu"] == pytest.approx(500 * each / 2e9, abs=6e-5)
    monkeypatch.setattr(module, "peak", lambda device, precision: None)
    assert Monitor(tmp_path, CI, CPU).record(0, output(), 1.0, 500.0, 0.0, 1.0)["mfu"] is None


def test_a_resumed_monitor_drops_later_rows_of_all_its_files(tmp_path, rated):
    monitor, model = Monitor(tmp_path, CI, CPU, watch=Watch(ratings=rated, probe_every=2)), CLICv2(CI.model)
    for step in range(4):
        monitor.record(step, output(), 1.0, 10.0, 0.0, 2.0 * step)
        if monitor.probe_due(step):
            monitor.probe(step, model)
    monitor.close()
    assert [row["step"] for row in read_log(tmp_path / "probes.jsonl")] == [2, 4]
    again = Monitor(tmp_path, CI, CPU, step=3, watch=Watch(ratings=rated, probe_every=2))
    assert again.seconds == 4.0
    again.close()
    assert [row["step"] for row in read_log(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert [row["step"] for row in read_log(tmp_path / "probes.jsonl")] == [2]


def test_a_probe_finds_the_noise_and_leaves_the_training_as_it_was(tmp_path, rated):
    model = CLICv2(CI.model).train()
    monitor = Monitor(tmp_path, CI, CPU, watch=Watch(ratings=rated, probe_every=3))
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    flags = [(p.requires_grad, m.training) for m in model.modules() for p in m.parameters()]
    found = monitor.probe(2, model)
    assert found is not None and 0.3 < found <= 1
    assert torch.get_rng_state().equal(state) and all(v.equal(before[k]) for k, v in model.state_dict().items())
    assert [(p.requires_grad, m.training) for m in model.modules() for p in m.parameters()] == flags
    assert monitor.probe(2, model) == found  # the same folds
    assert [monitor.probe_due(step) for step in (0, 1, 2, 5, CI.steps - 1)] == [False, False, True, True, True]
    assert not Monitor(tmp_path, CI, CPU).probe_due(CI.steps - 1)


def test_a_probe_predicts_no_image_by_a_head_that_was_fitted_on_it(rated):
    squares, scores, predicted = RatedSquares(rated, CI), np.arange(10) / 10, np.empty(10)
    encoder = untrained_encoder("tiny", FrozenConfig(CI.encoder, CI.pool), seed=0)
    features = encoder.features(squares.images)
    for test in squares.tests:
        rest = [i for i in range(10) if i not in test]
        predicted[test] = fit_ridge(features[rest], scores[rest]).predict(features[test])
    assert len(squares.tests) == 5 and sorted(np.concatenate(squares.tests)) == list(range(10))
    assert squares.probe(encoder, CPU) == pytest.approx(np.corrcoef(predicted, scores)[0, 1])


@pytest.mark.parametrize("every, table", [(0, True), (3, False), (-1, True)])
def test_ratings_and_their_interval_come_together(rated, every, table):
    with pytest.raises(UserError, match="--probe-every"):
        Watch(ratings=rated if table else None, probe_every=every).check()


def test_tensorboard_can_read_the_same_numbers(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    first = Monitor(tmp_path, CI, CPU, watch=Watch(tensorboard=True))
    rows = [first.record(step, output(step), 1.0, 10.0, 0.0, 1.0) for step in range(3)]
    first.close()
    resumed = Monitor(tmp_path, CI, CPU, step=2, watch=Watch(tensorboard=True))
    rows[2] = resumed.record(2, output(9), 1.0, 10.0, 0.0, 1.0)
    resumed.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in found.Scalars("feature_std")] == [1, 2, 3]
    for row, event in zip(rows, found.Scalars("feature_std"), strict=True):
        assert event.value == pytest.approx(row["feature_std"])


def test_missing_tensorboard_is_one_line_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install '\.\[tensorboard\]'"):
        Monitor(tmp_path, CI, CPU, watch=Watch(tensorboard=True))
    assert not list(tmp_path.iterdir())


def test_a_watched_run_ends_in_the_same_weights(tmp_path, photos, rated):
    recipe = get_recipe("ci", ["passes=80", "batch=8", "log_every=2"])
    for name, watch in (("alone", Watch()), ("watched", Watch(ratings=rated, probe_every=3))):
        assert pretrain(Pretraining(recipe, [str(photos)], tmp_path / name, device="cpu", progress=False, watch=watch))
    assert [row["step"] for row in read_log(tmp_path / "watched" / "probes.jsonl")] == [3, 6, 9, 10]
    alone, watched = ((tmp_path / name / "encoder.safetensors").read_bytes() for name in ("alone", "watched"))
    assert alone == watched


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_second_loss_has_a_name_that_the_log_has_not(tmp_path, method, target):
    """A target called `contrast`, say, would take the place of the first loss."""
    plain = Monitor(tmp_path, get_recipe("ci", ["target=none"]), CPU).record(0, output(), 1.0, 10.0, 0.0, 1.0)
    name = METHODS[method].auxiliary(get_recipe("ci", [f"method={method}"]).changed({"target": target}).views)
    assert name not in plain
