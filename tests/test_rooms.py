"""The house rules: a room imports only rooms above it, nothing goes in a circle, and private names stay at home."""

import re

import pytest

from tests import rooms

ARROWS = rooms.arrows()


def test_every_folder_of_the_package_is_a_room():
    folders = {path.name for path in rooms.PACKAGE.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert folders == set(rooms.ROOMS) - {rooms.ROOT, rooms.FRONT}


def test_no_arrow_leads_upward():
    assert rooms.upward(ARROWS) == []


def test_there_is_no_cycle_of_rooms_or_of_modules():
    assert rooms.cycle(list(rooms.between(ARROWS))) == []
    assert rooms.cycle([(arrow.source, arrow.target) for arrow in ARROWS if arrow.source != arrow.target]) == []


def test_no_room_takes_a_private_name_of_another():
    assert rooms.private(ARROWS) == []


def test_the_plan_for_contributors_names_every_room_and_every_module_beside_them():
    plan = (rooms.PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in plan.splitlines() if line.startswith("| `")]
    beside = {name.split(".")[1] for name in rooms.modules() if name.count(".") == 1 and name not in rooms.FRONT_DOOR}
    beside -= {"__main__"} | set(rooms.ROOMS)
    assert set(re.findall(r"`([a-z_]+)`", cells[0])) == beside
    assert set(re.findall(r"`([a-z_]+)/`", "".join(cells[1:]))) == set(rooms.ROOMS) - {rooms.ROOT, rooms.FRONT}


@pytest.fixture
def house(tmp_path):
    """A package with one fault of each kind, two of them inside functions."""
    files = {
        "__init__.py": "",
        "errors.py": "class UserError(ValueError): ...",
        "method/__init__.py": "",
        "method/a.py": "def f():\n    from clicv2lite.score.b import g\n    return g",
        "score/__init__.py": "",
        "score/b.py": "from clicv2lite.method import a\nfrom clicv2lite.method.a import _hidden\ndef g(): return a._more",
    }
    for name, text in files.items():
        path = tmp_path / "clicv2lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "clicv2lite"


def test_each_fault_is_found(house):
    found = rooms.arrows(house)
    assert [(arrow.source, arrow.target, arrow.line) for arrow in rooms.upward(found)] == [
        ("clicv2lite.method.a", "clicv2lite.score.b", 2)
    ]
    assert {arrow.name for arrow in rooms.private(found)} == {"_hidden", "_more"}
    assert set(rooms.cycle(list(rooms.between(found)))) == {"method", "score"}


def test_the_printed_plan_says_what_is_broken(house, monkeypatch, capsys):
    assert rooms.main() == 0 and " 0 upward, 0 private, 0 cycles of rooms, 0 of modules" in capsys.readouterr().out
    monkeypatch.setattr(rooms.modules, "__defaults__", (house,))
    monkeypatch.setattr(rooms.arrows, "__defaults__", (house,))
    assert rooms.main() == 1
    assert "clicv2lite.method.a line 2: clicv2lite.score.b g" in capsys.readouterr().out
