"""The script that a page loads to score a picture holds the package's own files, and only a model that the page can read."""

import base64
import json
import re

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("skimage")

import clicv2lite
from clicv2lite.data.flags import FLAGS
from clicv2lite.encoders.weight_files import encoder_files
from clicv2lite.models.by_name import DEFAULT
from clicv2lite.models.model import Model


def test_script_holds_the_files_of_the_model_and_the_text_of_the_engine(extension):
    scorer = extension("page_scorer")
    script = scorer.model_script(DEFAULT)
    parts = json.loads(script.removeprefix("globalThis.clicv2liteModel = ").removesuffix(";\n"))
    assert base64.b64decode(parts["head"]) == (DEFAULT / "head.safetensors").read_bytes()
    assert [base64.b64decode(part) for part in parts["encoders"]] == [path.read_bytes() for path in encoder_files(DEFAULT)]
    norms = json.loads((DEFAULT / "norms.json").read_text(encoding="utf-8"))
    assert parts["norms"] == {
        key: norms.get(key, norms["interval"].get(key)) for key in ("reference", "n", "quantiles", "edges", "half")
    }
    flags, encoder = ((scorer.HERE / name).read_text(encoding="utf-8") for name in ("flags.js", "encoder.js"))
    assert parts["engine"] == f"{flags}\n{encoder}"
    assert parts["thresholds"]["FLAGS"] == list(FLAGS)
    named = {name for pair in re.findall(r"\bt\.([A-Z]+)\b|\b([A-Z]+_[A-Z]+)\b", flags) for name in pair if name}
    assert named <= set(parts["thresholds"])
    said = (scorer.HERE / "scorer.js").read_text(encoding="utf-8").partition("const MISREAD = {")[2].partition("};")[0]
    assert re.findall(r"^ +(\w+): ", said, re.MULTILINE) == list(FLAGS)
    assert base64.b64decode(parts["example"]).startswith(b"\xff\xd8\xff")


def test_page_says_how_much_the_first_picture_loads(extension):
    scorer = extension("page_scorer")
    told = re.search(r'const LOADS = "(\d+) MB";', (scorer.HERE / "scorer.js").read_text(encoding="utf-8"))
    assert int(told[1]) == round(len(scorer.model_script(DEFAULT)) / 1e6)


@pytest.mark.parametrize(
    ("pooling", "said"),
    [
        ({"pool_read": "tokens"}, "likeness or nearest"),
        ({"pool_halvings": 0}, "one halving"),
        ({"pool_blocks": (3, 0)}, "blocks counted from 0, in order"),
        ({"pool_size": 160}, "an even number of patches, halved"),
    ],
)
def test_model_that_the_page_cannot_read_stops_the_build(extension, pooling, said):
    scorer, model = extension("page_scorer"), clicv2lite.load()
    scorer.check_readable(model)
    with pytest.raises(scorer.ExtensionError, match=said):
        scorer.check_readable(Model(model.encoder.read_as(pooling), model.head))
