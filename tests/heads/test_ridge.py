import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import ALPHAS, RidgeHead, fit_ridge


def rated(seed=0, n=40, width=6):
    rng = np.random.default_rng(seed)
    features = rng.normal(3, [1, 10, 0.1, 1, 5, 2][:width], size=(n, width))
    scores = 0.5 + 0.05 * (features - features.mean(0)) @ rng.normal(size=width) + 0.05 * rng.normal(size=n)
    return torch.tensor(features, dtype=torch.float32), scores


def closed_form(features, scores, alpha):
    """Weights of standardised features and the intercept, from the normal equations."""
    x = (features - features.mean(0)) / features.std(0)
    weight = np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T @ (scores - scores.mean()))
    return x @ weight + scores.mean()


@given(st.integers(0, 1000))
def test_predictions_are_the_closed_form(seed):
    features, scores = rated(seed)
    head = fit_ridge(features, scores)
    want = closed_form(features.double().numpy(), scores, head.alpha)
    np.testing.assert_allclose(head.predict(features), want, atol=1e-9)


def test_the_penalty_has_the_least_leave_one_out_error():
    features, scores = rated(n=25)
    x = ((features - features.mean(0)) / features.std(0, correction=0)).double().numpy()
    errors = []
    for alpha in ALPHAS:
        each = []
        for i in range(len(x)):
            rest = np.delete(np.arange(len(x)), i)
            centred, mean = x[rest] - x[rest].mean(0), scores[rest].mean()
            weight = np.linalg.solve(centred.T @ centred + alpha * np.eye(x.shape[1]), centred.T @ (scores[rest] - mean))
            each.append((mean + (x[i] - x[rest].mean(0)) @ weight - scores[i]) ** 2)
        errors.append(np.mean(each))
    assert fit_ridge(features, scores).alpha == ALPHAS[np.argmin(errors)]


def test_the_scale_of_a_feature_does_not_matter():
    features, scores = rated()
    scaled = features * torch.tensor([1, 1000, 1, 0.001, 1, 1])
    np.testing.assert_allclose(
        fit_ridge(features, scores).predict(features), fit_ridge(scaled, scores).predict(scaled), atol=1e-4
    )


def test_a_constant_feature_and_more_features_than_images_are_harmless():
    features, scores = rated(n=5)
    head = fit_ridge(torch.cat([features, torch.full((5, 1), 7.0)], 1), scores)
    assert np.isfinite(head.predict(torch.cat([features, torch.full((5, 1), 7.0)], 1))).all()


def test_the_mean_of_a_map_is_the_score_of_the_mean():
    head = fit_ridge(*rated())
    shares = torch.randn(3, 4, 5, 6)
    np.testing.assert_allclose(head.maps(shares).mean((1, 2)), head.predict(shares.mean((1, 2))), atol=1e-5)


def test_restoring_gives_the_same_head_and_refuses_other_shapes():
    features, scores = rated()
    head = fit_ridge(features, scores)
    again = RidgeHead.restore(head.config(), head.tensors())
    np.testing.assert_array_equal(again.predict(features), head.predict(features))
    with pytest.raises(ValueError):
        RidgeHead.restore({"width": 5}, head.tensors())


def test_with_groups_only_differences_within_them_count():
    features, scores = rated(n=60)
    groups = np.array(["a", "b", "c"])[np.arange(60) % 3]
    shift = {"a": -5.0, "b": 0.0, "c": 7.0}
    moved = scores + np.array([shift[g] for g in groups])
    one, other = (fit_ridge(features, y, groups) for y in (scores, moved))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-9)
    assert np.abs(fit_ridge(features, scores).weight - fit_ridge(features, moved).weight).max() > 0.01


def test_with_groups_the_weights_are_the_closed_form_on_deviations_from_group_means():
    features, scores = rated(n=60)
    groups = np.array(["a", "b"])[np.arange(60) % 2]
    head = fit_ridge(features, scores, groups)
    x = (features.double().numpy() - head.mean) / head.scale
    y = scores - scores.mean()
    for name in ("a", "b"):
        rows = groups == name
        x[rows], y[rows] = x[rows] - x[rows].mean(0), y[rows] - y[rows].mean()
    want = np.linalg.solve(x.T @ x + head.alpha * np.eye(6), x.T @ y)
    np.testing.assert_allclose(head.weight, want, atol=1e-9)
    assert head.predict(features).mean() == pytest.approx(scores.mean())


@pytest.mark.parametrize("alone", [0, 1], ids=["groups of several", "one row is a group of its own"])
@pytest.mark.parametrize("n, width", [(24, 6), (12, 30)])
def test_with_groups_too_the_penalty_has_the_least_leave_one_out_error(n, width, alone):
    rng = np.random.default_rng(3)
    x, scores, groups = rng.normal(size=(n, width)), rng.normal(size=n), np.arange(n) % 3
    groups[:alone] = 3
    x = (x - x.mean(0)) / x.std(0)

    def within(values, rows):
        parts = [values[rows][groups[rows] == g] for g in set(groups[rows])]
        return np.concatenate([part - part.mean(0) for part in parts])

    errors = []
    for alpha in ALPHAS:
        each = []
        for i in range(alone, n):  # what is alone has no error: nothing is left of its group
            rest = np.delete(np.arange(n), i)
            a, b = within(x, rest), within(scores, rest)
            weight = np.linalg.solve(a.T @ a + alpha * np.eye(width), a.T @ b)
            mine = rest[groups[rest] == groups[i]]
            each.append(scores[i] - scores[mine].mean() - (x[i] - x[mine].mean(0)) @ weight)
        errors.append(np.mean(np.square(each)))
    assert fit_ridge(torch.tensor(x), scores, groups.astype(str)).alpha == ALPHAS[np.argmin(errors)]


def test_groups_of_one_row_each_are_refused():
    features, scores = rated(n=4)
    with pytest.raises(UserError, match="no group has two"):
        fit_ridge(features, scores, np.array(list("abcd")))


def dead_channel(n):
    """Two features, and one that is 0 in every row but the first, where it is tiny."""
    features, scores = rated(n=n, width=2)
    switched_on = torch.zeros(n, 1, dtype=features.dtype)
    switched_on[0] = 1e-4
    return torch.cat([features, switched_on], 1), scores


def test_a_feature_that_one_row_decides_has_no_weight():
    features, scores = dead_channel(n=120)
    head, plain = fit_ridge(features, scores), fit_ridge(features[:, :2], scores)
    assert head.weight[2] == 0 and np.allclose(head.weight[:2], plain.weight) and head.alpha == plain.alpha
    new = features[:3].clone()
    new[:, 2] = 1.0  # as far from the mean as 100,000 deviations
    assert np.allclose(head.predict(new), plain.predict(new[:, :2]))


def test_among_few_rows_one_may_well_have_most_of_a_feature_s_variance():
    assert fit_ridge(*dead_channel(n=99)).weight[2] != 0
