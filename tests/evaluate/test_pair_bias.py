import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from clicv2lite.baselines.measures.basic import edge_density, jpeg_size, local_entropy
from clicv2lite.cli import main
from clicv2lite.evaluate.pair_bias import (
    KINDS,
    PROXIES,
    between_within,
    draw_pair,
    measure_pairs,
    pair_bias,
    pair_bias_interval,
    proxies,
    twice,
)
from clicv2lite.method.pixels import MEAN


def anova(pairs):
    """Between and within from the two mean squares, one number after the other."""
    n = len(pairs)
    grand = sum(a + b for a, b in pairs) / (2 * n)
    within = sum((x - (a + b) / 2) ** 2 for a, b in pairs for x in (a, b)) / n
    between = 2 * sum(((a + b) / 2 - grand) ** 2 for a, b in pairs) / (n - 1)
    return (between - within) / 2, within


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def pictures(b=3, side=224, seed=0):
    """Smooth colours with some texture: blocks of 16 pixels and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(b, 3, side // 16, side // 16, generator=generator).repeat_interleave(16, 2).repeat_interleave(16, 3)
    return (200 * coarse + 40 * torch.rand(b, 3, side, side, generator=generator)).to(torch.uint8)


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 4))
def test_variances_are_those_of_the_analysis_of_variance(seed, n, draws):
    values = noise(seed, draws, 2, n) + 2 * noise(seed + 1, n)
    want = np.mean([anova(list(zip(*row, strict=True))) for row in values], axis=0)
    np.testing.assert_allclose(between_within(values), want, atol=1e-12)


def test_variances_are_those_that_made_the_values():
    values = 3 * noise(0, 200, 1, 100) + 2 * noise(1, 200, 2, 100)
    between, within = between_within(values)
    assert between == pytest.approx(9, rel=0.05)
    assert within == pytest.approx(4, rel=0.05)
    assert pair_bias(values) == pytest.approx(4 / 13, abs=0.02)


def test_bias_is_one_minus_the_correlation_of_pairs_entered_both_ways():
    values = noise(0, 2, 4000) + noise(1, 4000)
    both = np.concatenate([values, values[::-1]], axis=1)  # Fisher's definition of 1925
    assert pair_bias(values) == pytest.approx(1 - pearsonr(*both).statistic, abs=1e-3)


def test_bias_is_0_for_equal_views_near_1_for_unrelated_ones_and_ignores_scale_and_offset():
    same = np.stack([noise(0, 50)] * 2)
    assert pair_bias(same) == 0
    unrelated = noise(1, 5, 2, 400)
    assert pair_bias(unrelated) == pytest.approx(1, abs=0.05)
    assert pair_bias(7 - 3 * unrelated) == pytest.approx(pair_bias(unrelated))
    assert np.isnan(pair_bias(np.ones((2, 5))))


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 1), (2, 2, 1)])
def test_values_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="two views of at least two images"):
        between_within(np.zeros(shape))


def test_interval_holds_the_true_share_as_often_as_it_says():
    held = 0
    for seed in range(60):
        values = noise([seed, 1], 2, 80) + noise([seed, 2], 80)  # a share of one half
        low, high = pair_bias_interval(values, 200, seed)
        assert low < high
        held += low < 0.5 < high
    assert 50 <= held <= 60


def test_interval_resamples_images_and_not_views():
    values = np.stack([noise(0, 20)] * 2)
    assert pair_bias_interval(values, 50) == [0, 0]  # were views drawn too, pairs would be torn apart


@given(st.integers(0, 10**6))
def test_twice_counts_pairs_in_either_order(seed):
    values = np.random.default_rng(seed).integers(0, 6, (3, 2, 7)).astype(float)
    want = [a != b and max(a, b) >= 2 * min(a, b) for row in values for a, b in zip(*row, strict=True)]
    assert twice(values) == pytest.approx(np.mean(want))
    assert twice([[0.3], [0.15]]) == 1


@pytest.mark.parametrize("name", KINDS)
def test_pairs_are_pictures_that_repeat_with_the_seed(name):
    kind, images = KINDS[name], pictures()
    views = draw_pair(images, kind, torch.Generator().manual_seed(1))
    assert views.shape == (2, 3, 3, kind.config.size, kind.config.size)
    assert views.min() >= 0 and views.max() <= 1
    assert torch.equal(views, draw_pair(images, kind, torch.Generator().manual_seed(1)))
    assert torch.equal(views[0], views[1]) == (name == "aligned crops")


def test_aligned_pairs_differ_only_where_the_shift_put_zeros_or_moved():
    images = torch.full((2, 3, 224, 224), 200, dtype=torch.uint8)  # flat: a crop shows nothing but this gray
    a, b = draw_pair(images, KINDS["two crops"], torch.Generator().manual_seed(0))
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(a, torch.full_like(a, 200 / 255))
    a, _ = draw_pair(images, KINDS["shift"], torch.Generator().manual_seed(0))
    mean = torch.tensor(MEAN)[:, None, None].expand(3, 224, 224)
    gray, colour = (a - 200 / 255).abs() < 1e-5, (a - mean).abs() < 1e-5
    assert (gray | colour).all()
    assert 0.1 < colour.float().mean() < 0.4  # distances 1..8 of 32 pixels


def test_windows_show_the_pixels_of_the_image_itself():
    images = pictures(1, side=128)
    window = (draw_pair(images, KINDS["two windows"], torch.Generator().manual_seed(3))[0, 0] * 255).round().to(torch.uint8)
    places = images[0].unfold(1, 112, 1).unfold(2, 112, 1).permute(1, 2, 0, 3, 4)
    assert (places == window).all((2, 3, 4)).sum() == 1


def test_proxies_are_the_measures_of_chapter_1_on_8_bits():
    views = torch.rand(2, 3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = proxies(views)
    assert list(found) == list(PROXIES)
    one = (views[1, 2] * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    assert [found[p][1, 2] for p in PROXIES] == [jpeg_size(one), edge_density(one), local_entropy(one, 32)]


def test_every_kind_and_proxy_is_measured():
    found = measure_pairs(pictures(2), draws=2)
    assert list(found) == list(KINDS)
    for row in found.values():
        assert {name: v.shape for name, v in row.items()} == dict.fromkeys(PROXIES, (2, 2, 2))
    assert not np.ptp(found["aligned crops"]["JPEG size"], axis=1).any()


def test_command_writes_every_share_with_its_interval(tmp_path, capsys):
    file = tmp_path / "pairs.json"
    assert main(["pairs", "--images", "worlds:3", "--draws", "1", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert (result["n"], result["draws"], list(result["kinds"])) == (3, 1, list(KINDS))
    cell = result["kinds"]["shift"]["JPEG size"]
    assert 0 <= cell["pair_bias"] <= 1 and cell["ci"][0] <= cell["pair_bias"] <= cell["ci"][1]
    assert result["command"].startswith("clicv2lite ")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--images", "nowhere"], "there is no such folder"),
        (["--images", "worlds:1"], "one image"),
        (["--images", "embedded", "--limit", "1"], "at least 2 images"),
        (["--images", "embedded", "--draws", "0"], "1 pair"),
    ],
)
def test_user_mistake_is_one_line(options, said, capsys):
    assert main(["pairs", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clicv2lite: ") and said in error and error.count("\n") == 1
