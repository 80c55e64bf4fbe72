import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_no_attributes_set_in_init, check_parameters_default_constructible

import clicv2lite
from clicv2lite.encoders.config import FrozenConfig
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.errors import UserError
from clicv2lite.heads.ridge import ALPHAS
from clicv2lite.method.encoder import EncoderConfig, build_vit
from clicv2lite.models.regressor import ComplexityRegressor

RNG = np.random.default_rng(0)
PIXELS = [RNG.integers(0, 256, (RNG.integers(9, 40), RNG.integers(9, 40), 3), dtype=np.uint8) for _ in range(20)]
RATINGS = np.linspace(1, 5, 20)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of a tiny encoder."""
    torch.manual_seed(0)
    config = EncoderConfig(size=32, patch=8, width=16, depth=2, heads=2)
    folder = tmp_path_factory.mktemp("encoder")
    FrozenEncoder("tiny", build_vit(config), FrozenConfig(config)).save(folder)
    return str(folder)


def test_it_is_ridge_on_standardised_features(encoder):
    fitted = ComplexityRegressor(encoder).fit(PIXELS, RATINGS)
    x = fitted.model_.features(PIXELS).astype(float)
    want = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(x, RATINGS).predict(x)
    np.testing.assert_allclose(fitted.predict(PIXELS), want, atol=1e-4)
    assert fitted.score(PIXELS, RATINGS) > 0.5  # R squared, of what it was fitted on


def test_it_keeps_the_conventions_of_scikit_learn(encoder):
    regressor = ComplexityRegressor(encoder)
    check_no_attributes_set_in_init("ComplexityRegressor", regressor)
    check_parameters_default_constructible("ComplexityRegressor", regressor)
    assert (
        regressor.get_params() == {"encoder": encoder, "device": "auto"}
        and repr(ComplexityRegressor()) == "ComplexityRegressor()"
    )
    assert regressor.fit(PIXELS, RATINGS) is regressor
    other = clone(regressor)
    assert other is not regressor and other.encoder == encoder and not hasattr(other, "model_")
    assert other.set_params(encoder="random").encoder == "random"
    with pytest.raises(NotFittedError):
        other.predict(PIXELS)


def test_scikit_learn_can_cross_validate_it_on_a_list_of_images(encoder):
    got = cross_val_predict(ComplexityRegressor(encoder), PIXELS, RATINGS, cv=4)
    want = np.concatenate([
        ComplexityRegressor(encoder).fit(
            [PIXELS[i] for i in range(20) if i // 5 != fold], np.delete(RATINGS, range(5 * fold, 5 * fold + 5))
        ).predict(PIXELS[5 * fold : 5 * fold + 5])
        for fold in range(4)
    ])  # fmt: skip
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_it_works_in_a_pipeline_a_grid_search_and_cross_validation(encoder):
    upside_down = FunctionTransformer(lambda images: [image[::-1] for image in images])
    pipeline = make_pipeline(upside_down, ComplexityRegressor(encoder))
    want = ComplexityRegressor(encoder).fit([image[::-1] for image in PIXELS], RATINGS)
    np.testing.assert_allclose(
        pipeline.fit(PIXELS, RATINGS).predict(PIXELS), want.predict([image[::-1] for image in PIXELS]), atol=1e-6
    )
    assert cross_val_score(ComplexityRegressor(encoder), PIXELS, RATINGS, cv=3).shape == (3,)
    search = GridSearchCV(ComplexityRegressor(), {"encoder": [encoder]}, cv=2).fit(PIXELS, RATINGS)
    assert search.best_params_ == {"encoder": encoder} and search.predict(PIXELS[:3]).shape == (3,)
    assert is_regressor(pipeline)


def test_it_does_not_clip_to_the_range_of_a_rating_scale(encoder):
    fitted = ComplexityRegressor(encoder).fit(PIXELS, RATINGS)
    assert fitted.predict(PIXELS).max() > 1 and fitted.predict(PIXELS[:1]).shape == (1,)
    assert fitted.model_.score(PIXELS).max() < 1


@pytest.mark.parametrize(
    "ratings, said",
    [
        (RATINGS[:-1], "19 of them for 20 images"),
        (RATINGS[:, None], "shape"),
        ([1.0], "two or more"),
        (np.append(RATINGS[:-1], np.nan), "finite"),
        (["much"] * 20, "not all of them are numbers"),
        ([None] * 20, "finite"),
        (RATINGS + 1j, "real number"),
        ([1 + 2j] * 20, "real number"),
        (np.append(RATINGS[:-1], -np.inf), "number 19 is -inf"),
    ],
)
def test_ratings_that_cannot_be_used_are_named_in_one_line(ratings, said, encoder):
    with pytest.raises(UserError, match=said) as caught:
        ComplexityRegressor(encoder).fit(PIXELS, ratings)
    assert "\n" not in str(caught.value)


def test_an_encoder_is_a_path_too_and_features_that_are_no_numbers_are_refused(encoder):
    want = ComplexityRegressor(encoder).fit(PIXELS, RATINGS).predict(PIXELS)
    assert (ComplexityRegressor(Path(encoder)).fit(PIXELS, RATINGS).predict(PIXELS) == want).all()
    with pytest.raises(UserError, match=r"^encoder Threshold: what it makes of these images is not finite"):
        ComplexityRegressor(torch.nn.Threshold(1e9, math.nan)).fit(PIXELS, RATINGS)


def test_the_package_offers_both_names_and_imports_nothing_heavy_for_itself():
    code = "import sys, clicv2lite; print(sorted({'torch', 'numpy', 'PIL', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert clicv2lite.ComplexityRegressor is ComplexityRegressor
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = clicv2lite.lode
    from clicv2lite import load  # the other way to ask for it

    assert load is clicv2lite.load


def test_with_groups_their_levels_do_not_matter(encoder):
    groups, level = np.array(["a", "b"] * 10), np.array([0.0, 3.0] * 10)
    plain, moved = (ComplexityRegressor(encoder).fit(PIXELS, y, groups) for y in (RATINGS, RATINGS + level))
    np.testing.assert_allclose(moved.predict(PIXELS), plain.predict(PIXELS) + 1.5, atol=1e-9)
    with pytest.raises(UserError, match=r"groups: shape \(3,\) for 20 ratings"):
        ComplexityRegressor(encoder).fit(PIXELS, RATINGS, ["a", "b", "a"])
