import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.probe.ridge import ALPHAS, RidgeHead, fit_ridge


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
            weight = np.linalg.solve(
                centred.T @ centred + alpha * np.eye(x.shape[1]), centred.T @ (scores[rest] - mean)
            )
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
