"""A whole table at the full size, from images to Markdown: the paper's smallest ViT, few images and hardly any steps."""

import dataclasses
import json
import shlex

from clicv2lite.cli import main
from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.evaluate import sizes
from clicv2lite.evaluate.suites import SUITES
from clicv2lite.models.by_name import load_encoder

TINY = ("passes=4", "batch=2", "workers=1", "save_every=1000")


def test_the_listed_commands_make_the_runs_of_the_table(tmp_path, monkeypatch, capsys):
    full = sizes.SIZES["full"]
    tiny = dataclasses.replace(full, shapes={**full.shapes, "B": ("vit-s32", TINY)}, folds=2)
    monkeypatch.setitem(sizes.SIZES, "full", tiny)
    ratings = sizes.find_data("ci", None, None, None, tmp_path).ratings
    ratings.write_text("".join(ratings.read_text().splitlines(keepends=True)[:13]))
    words = ["evaluate", "--suite", "table4", "--size", "full", "--images", "worlds:6", "--ratings", str(ratings)]
    words += ["--out", str(tmp_path / "out"), "--seeds", "0", "--heads", "ridge", "likeness"]
    assert main([*words, "--list"]) == 0
    commands = [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines()]
    assert len(commands) == 2 and all(command[0] == "torchrun" for command in commands)
    assert main(words) == 1  # not before they are there
    for command in commands:
        assert main([*command[command.index("clicv2lite") + 1 :], "precision=fp32"]) == 0
    capsys.readouterr()
    assert main([*words, "--list"]) == 0 and not capsys.readouterr().out
    assert main(words) == 0
    table = capsys.readouterr().out
    assert (tmp_path / "out" / "table4.md").read_text() == table.removesuffix("\n")
    rows = json.loads((tmp_path / "out" / "table4.json").read_text())["rows"]
    assert [row["label"] for row in rows] == [row.label for row in SUITES["table4"].rows]
    for row in rows:
        assert set(row["ours"]) == {"ridge", "likeness"} and f"| {row['label']} | " in table
    encoder = load_encoder(str(tmp_path / "out" / "runs" / rows[0]["runs"][0]["key"]))
    assert isinstance(encoder, FrozenEncoder) and (encoder.width, encoder.config.encoder.depth, encoder.size) == (384, 12, 224)
