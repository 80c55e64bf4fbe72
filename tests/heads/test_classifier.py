"""The classifier against scikit-learn and NumPy; its rates, its order, its schedule."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from clicv2lite.heads.classifier import (
    RATES,
    ClassifierTraining,
    LinearClassifier,
    choose_rate,
    fit_classifiers,
)


def clusters(n, classes, width, spread, seed=0):
    """(n, F) features around one centre a class, of unequal scales, and (n,) labels."""
    rng = np.random.default_rng(seed)
    centres, y = rng.normal(size=(classes, width)) * 3, np.arange(n) % classes
    x = (centres[y] + rng.normal(size=(n, width)) * spread) * np.linspace(0.1, 20, width) + 5
    return torch.from_numpy(x), torch.from_numpy(y)


@pytest.mark.parametrize(("spread", "least"), [(0.5, 1.0), (2.5, 0.93)])
def test_predictions_are_those_of_logistic_regression(spread, least):
    x, y = clusters(600, 6, 12, spread)
    (ours,) = fit_classifiers(x[:400].half(), y[:400], 6, [1.0], ClassifierTraining(batch=100))
    scaler = StandardScaler().fit(x[:400])
    theirs = LogisticRegression(C=100, max_iter=5000).fit(scaler.transform(x[:400]), y[:400])
    same = ours.best(x[400:].half(), 1)[:, 0].numpy() == theirs.predict(scaler.transform(x[400:]))
    assert same.mean() >= least


def test_training_is_sgd_with_warm_up_and_a_cosine_written_out():
    x, y = clusters(50, 3, 5, 2)
    (got,) = fit_classifiers(x, y, 3, [3.0], ClassifierTraining(epochs=9, batch=20), seed=4)
    features, order = x.numpy(), torch.Generator().manual_seed(4)
    z = (features - features.mean(0)) / np.sqrt(features.var(0) + 1e-6)
    z, wanted = np.c_[z, np.ones(50)], np.eye(3)[y]  # the last weight is the bias
    weight, velocity = np.zeros((2, 6, 3))
    batches = [rows for _ in range(9) for rows in np.array_split(torch.randperm(50, generator=order).numpy(), 3)]
    shares = [0.25, 0.5, 0.75, *(0.5 + 0.5 * np.cos(np.linspace(0, np.pi, 24, endpoint=False)))]  # 3 of 27 steps of warm-up
    for rows, share in zip(batches, shares, strict=True):
        likely = np.exp(z[rows] @ weight)
        velocity = 0.9 * velocity + z[rows].T @ (likely / likely.sum(1, keepdims=True) - wanted[rows]) / len(rows)
        weight -= 3.0 * (50 / 3 / 256) * share * velocity
    np.testing.assert_allclose(x.float() @ got.weight.T + got.bias, z @ weight, atol=1e-4)


def test_the_defaults_are_those_of_linear_probes_of_imagenet():
    assert ClassifierTraining() == ClassifierTraining(epochs=90, batch=1024, warmup=1 / 9, momentum=0.9)


@given(st.integers(0, 99), st.integers(5, 12))
def test_the_best_five_are_those_of_sorted_logits(seed, classes):
    rng = np.random.default_rng(seed)
    weight, bias, x = rng.normal(size=(classes, 4)), rng.normal(size=classes), rng.normal(size=(20, 4))
    one = LinearClassifier(torch.from_numpy(weight), torch.from_numpy(bias))
    assert one.best(torch.from_numpy(x), 5).tolist() == np.argsort(-(x @ weight.T + bias))[:, :5].tolist()


def test_rates_side_by_side_are_rates_alone():
    x, y = clusters(90, 3, 5, 2)
    training = ClassifierTraining(epochs=4, batch=32)
    both = fit_classifiers(x, y, 3, [0.1, 1.0], training)
    for rate, one in zip((0.1, 1.0), both, strict=True):
        (alone,) = fit_classifiers(x, y, 3, [rate], training)
        torch.testing.assert_close(one.weight, alone.weight)


def test_the_chosen_rate_is_the_best_on_what_was_held_out():
    x, y = clusters(300, 4, 6, 3)
    found = choose_rate(x, y, 4, ClassifierTraining(epochs=10))
    assert set(found) == set(RATES) and list(found.values()) == sorted(found.values(), reverse=True)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    held, rest = order[:30], order[30:]
    best = next(iter(found))
    (one,) = fit_classifiers(x[rest], y[rest], 4, [best], ClassifierTraining(epochs=10))
    assert found[best] == pytest.approx(float((one.best(x[held], 1)[:, 0] == y[held]).double().mean()))


def test_a_constant_feature_and_a_class_without_images_do_no_harm():
    x, y = clusters(60, 2, 3, 0.1)
    x[:, 1] = 7
    (one,) = fit_classifiers(x, y, 3, [1.0], ClassifierTraining(epochs=20))
    assert one.weight.isfinite().all() and (one.best(x, 1)[:, 0] == y).all()


def test_the_loss_is_the_mean_cross_entropy():
    one = LinearClassifier(torch.eye(3), torch.zeros(3))
    x = torch.tensor([[2.0, 0, 0], [0, 0, 1.0]])
    wanted = -(np.log(np.exp(2) / (np.exp(2) + 2)) + np.log(1 / (np.e + 2))) / 2
    assert one.loss(x, torch.tensor([0, 1])) == pytest.approx(wanted, abs=1e-6)
