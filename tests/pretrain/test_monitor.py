import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.pretrain.monitor import Log, diagnostics, effective_rank, feature_std, read_log, similarities


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
