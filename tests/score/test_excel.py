import codecs
import csv

from clicv2lite.cli import main
from clicv2lite.score.table import Table


def test_a_table_for_excel_begins_with_the_mark_once_and_is_gone_on_with(photos, models, tmp_path, capsys):
    (photos / "0.png").rename(photos / "Übung é.png")
    target = tmp_path / "s.csv"
    words = ["score", "--model", models[0], "--csv", str(target)]
    assert main([*words, str(photos / "Übung é.png"), "--excel"]) == 0
    assert target.read_bytes().startswith(codecs.BOM_UTF8)
    assert main([*words, str(photos), "--excel"]) == 0
    assert "1 of 9 images are in" in capsys.readouterr().err
    data = target.read_bytes()
    assert data.count(codecs.BOM_UTF8) == 1 and data.startswith(codecs.BOM_UTF8)
    with target.open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(Table(target).scores) == 9
    assert main([*words, str(photos)]) == 0  # without the option it is a plain table again
    assert target.read_bytes() == data.removeprefix(codecs.BOM_UTF8)
