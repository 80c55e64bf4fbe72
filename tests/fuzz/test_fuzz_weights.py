"""Files of weights with damage of every kind: an encoder or a model whose results are finite, or one line."""

import json
import shutil
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clicv2lite.encoders.weight_files import METADATA, WEIGHTS
from clicv2lite.errors import UserError
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.head_file import HEAD_FILE
from clicv2lite.models.model import load_model
from clicv2lite.pretrain.log import read_log
from tests.fuzz.mutations import as_json, changed_json, damage, damaged

fuzz = settings.get_profile("fuzz")


def parts(content):
    """The header of a safetensors file as JSON, and the bytes of its tensors."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, tensors):
    text = as_json(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


@pytest.fixture(scope="module")
def originals(models):
    from pathlib import Path

    folder = Path(models[0])
    return folder, (folder / WEIGHTS).read_bytes(), (folder / HEAD_FILE).read_bytes()


def attempt(load, refused):
    try:
        return load()
    except UserError as error:
        refused(error)
        return None


def use(encoder):
    images = torch.zeros(1, 3, encoder.size, encoder.size, dtype=torch.uint8)
    assert encoder.size <= 10_000 and encoder.features(images).ndim == 2


@given(data=st.data())
@settings(fuzz)
def test_an_encoder_of_any_configuration_works_or_is_one_line(tmp_path_factory, originals, refused, data):
    header, tensors = parts(originals[1])
    about = json.loads(header["__metadata__"][METADATA])
    header["__metadata__"][METADATA] = as_json(data.draw(changed_json(about)))
    file = tmp_path_factory.mktemp("encoder") / WEIGHTS
    file.write_bytes(joined(header, tensors))
    encoder = attempt(lambda: load_encoder(str(file)), refused)
    if encoder is not None:
        use(encoder)


@given(changes=damage)
@settings(fuzz)
def test_a_damaged_encoder_works_or_is_one_line(tmp_path_factory, originals, refused, changes):
    file = tmp_path_factory.mktemp("encoder") / WEIGHTS
    file.write_bytes(damaged(originals[1], changes))
    encoder = attempt(lambda: load_encoder(str(file)), refused)
    if encoder is not None:
        use(encoder)


@given(data=st.data())
@settings(fuzz)
def test_a_head_of_any_configuration_gives_scores_or_is_one_line(tmp_path_factory, originals, refused, data):
    header, tensors = parts(originals[2])
    about = json.loads(header["__metadata__"]["clicv2lite"])
    header["__metadata__"]["clicv2lite"] = as_json(data.draw(changed_json(about)))
    scored(tmp_path_factory, originals, joined(header, tensors), refused)


@given(changes=damage)
@settings(fuzz)
def test_a_damaged_head_gives_scores_or_is_one_line(tmp_path_factory, originals, refused, changes):
    scored(tmp_path_factory, originals, damaged(originals[2], changes), refused)


def scored(tmp_path_factory, originals, head, refused):
    folder = tmp_path_factory.mktemp("model")
    shutil.copy(originals[0] / WEIGHTS, folder / WEIGHTS)
    (folder / HEAD_FILE).write_bytes(head)
    model = attempt(lambda: load_model(folder), refused)
    if model is not None:
        picture = np.zeros((8, 8, 3), np.uint8)
        score = attempt(lambda: model.score(picture), refused)
        assert score is None or np.isnan(score) or 0 <= score <= 1


LOG = b'{"step": 5, "total": 1.0, "seconds": 2.5}\n{"step": 10, "total": 0.9, "seconds": 5.0}\n'


@given(changes=damage)
@settings(fuzz)
def test_a_damaged_log_is_read_or_one_line(tmp_path_factory, refused, changes):
    file = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    file.write_bytes(damaged(LOG, changes))
    lines = attempt(lambda: read_log(file), refused)
    assert lines is None or all(isinstance(line, dict) for line in lines)
