import sys

import pytest
import torch

from clicv2lite.errors import UserError
from clicv2lite.method.pixels import normalize
from clicv2lite.models.by_name import load_encoder
from clicv2lite.models.factory import is_factory


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


def write(folder, body, name="mine"):
    (folder / f"{name}.py").write_text(body, encoding="utf-8")


def test_a_function_of_the_current_folder_gives_the_encoder(here):
    write(
        here, "from clicv2lite.models.by_name import load_encoder\ndef build():\n    return load_encoder('default')\n", "mine_a"
    )
    images = torch.randint(0, 256, (2, 3, 448, 448), dtype=torch.uint8)
    path = list(sys.path)
    mine = load_encoder("mine_a:build")
    assert mine.name == "mine_a:build" and sys.path == path
    assert torch.equal(mine.features(images), load_encoder("default").features(images))


def test_a_function_may_name_an_encoder(here):
    write(here, "class Mine:\n    best = staticmethod(lambda: 'default')\n", "mine_b")
    assert load_encoder("mine_b:Mine.best").digest() == load_encoder("default").digest()


def test_a_function_may_give_a_module(here):
    body = "import torch\ndef build():\n    torch.manual_seed(0)\n    return torch.nn.Conv2d(3, 5, 16, 16)\n"
    write(here, body, "mine_c")
    mine = load_encoder("mine_c:build")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.manual_seed(0)
    maps = torch.nn.Conv2d(3, 5, 16, 16)(normalize(images.float() / 255))
    expected = torch.cat([maps.mean((2, 3)), maps.flatten(2).std(2, correction=0)], dim=1)
    assert mine.name == "mine_c:build"
    torch.testing.assert_close(mine.features(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def build():\n    return 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def other(): pass\n", "has no attribute 'build'"),
        ("import nowhere_at_all\n", "No module named 'nowhere_at_all'"),
        ("def build():\n    return 3\n", "gives a int"),
        ("def build(:\n", "SyntaxError"),
    ],
)
def test_a_mistake_in_it_is_one_line(here, body, said):
    write(here, body, f"mine_{abs(hash(body))}")
    with pytest.raises(UserError, match=r"^mine_") as error:
        load_encoder(f"mine_{abs(hash(body))}:build")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("spec", ["default", "a/b:c", "hf-hub:timm/vit", "C:\\models", "1:2", "a:"])
def test_other_names_are_no_factories(spec):
    assert not is_factory(spec)


def test_a_file_of_such_a_name_is_a_file(here):
    (here / "a:b").write_text("", encoding="utf-8")
    assert not is_factory("a:b")
