import json

import pytest

from clicv2lite.bench import score_speed as speed
from clicv2lite.cli import main
from clicv2lite.score.arguments import find_images


def test_ratios_are_medians_of_the_rounds(photos, models, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "ICNET_SIDE", 64)
    found = speed.measure(find_images([str(photos)]), models[0], 3, 2)
    for name in ("timm_forward", "icnet_512"):
        pairs = [
            own / other
            for own, other in zip(
                found["rounds"]["images_per_second"]["score"], found["rounds"]["images_per_second"][name], strict=True
            )
        ]
        assert found["ratio_to"][name] == pytest.approx(sorted(pairs)[1]) and found["ratio_to"][name] > 0


@pytest.mark.parametrize("option", ["--count", "--rounds"])
def test_fewer_than_one_is_one_line(photos, option, capsys):
    assert main(["bench-score", "--images", str(photos), option, "0"]) == 2
    assert capsys.readouterr().err == f"clicv2lite: {option} 0: give 1 or more\n"


def test_the_result_says_where_it_comes_from(photos, models, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "ICNET_SIDE", 64)
    monkeypatch.setattr(speed, "startup", lambda: {"score": 1.5, "import_torch": 1.0})
    words = ["--images", str(photos), "--count", "4", "--rounds", "1", "--model", models[0], "--json", str(tmp_path / "s.json")]
    assert main(["bench-score", *words]) == 0
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["images"] == 4 and found["seconds_to_first_score"]["score"] == 1.5
    assert found["command"].startswith("clicv2lite ") and found["hardware"] and "commit" in found
