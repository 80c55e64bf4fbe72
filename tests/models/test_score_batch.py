import io

import numpy as np
import pytest
from PIL import Image

from clicv2lite.errors import UserError
from clicv2lite.models.model import load_model


@pytest.fixture
def model(models):
    return load_model(models[0], "cpu")


def test_a_batch_of_columns_gives_the_column_of_scores(model, photos):
    paths = [str(path) for path in sorted(photos.glob("*.png"))]
    want = model.score(paths)
    forms = [paths, [Image.open(path) for path in paths], [{"bytes": None, "path": path} for path in paths]]
    forms.append([{"bytes": open(path, "rb").read(), "path": None} for path in paths])  # noqa: SIM115
    for form in forms:
        found = model.score_batch({"image": form, "label": list(range(10))})
        assert set(found) == {"score"} and all(type(value) is float for value in found["score"])
        np.testing.assert_allclose(found["score"], want, atol=1e-6)
    np.testing.assert_allclose(model.score_batch({"photo": paths}, column="photo")["score"], want, atol=1e-6)


def test_an_empty_batch_has_no_scores(model):
    assert model.score_batch({"image": []}) == {"score": []}


def test_a_missing_column_is_named_with_those_that_are_there(model):
    with pytest.raises(UserError, match=r"no column 'image' among photo, label; name it"):
        model.score_batch({"photo": [], "label": []})


def test_score_takes_bytes_and_open_files_and_a_device(model, photos):
    path = photos / "3.png"
    want = model.score(path)
    with path.open("rb") as file:
        got = [model.score(file), model.score(path.read_bytes()), model.score(io.BytesIO(path.read_bytes()), device="cpu")]
    assert got == [want, want, want]
    assert model.to("cpu") is model
    with pytest.raises(UserError, match="--device nowhere"):
        model.score(path, device="nowhere")
