import errno
import io
import json
import os
import pickle
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite import lines
from clicv2lite.cli import main
from clicv2lite.data.images import read_square
from clicv2lite.errors import UserError
from clicv2lite.interrupts import Threads
from clicv2lite.models.model import load_model
from clicv2lite.score import scoring
from clicv2lite.score.arguments import ImageRow, find_images
from clicv2lite.score.on_ray import Scorer, Worker
from clicv2lite.score.parts import Part
from clicv2lite.score.scoring import score_rows


@pytest.fixture
def model(models):
    return load_model(models[0])


def test_batches_come_in_order_and_never_more_than_two_a_job_wait(photos, model, monkeypatch):
    rows = find_images([str(photos)]) * 20
    handed = []
    submit = Threads.submit
    monkeypatch.setattr(Threads, "submit", lambda self, *task: handed.append(task) or submit(self, *task))
    got = []
    for taken, part in enumerate(score_rows(rows, model, 3, jobs=2)):
        assert len(handed) == min(taken + 4, 60)
        got += part
    assert [row.image for row in got] == [row.image for row in rows]


def test_torchs_threads_are_shared_while_scoring_and_given_back(photos, model, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    seen = set()
    original = scoring._score

    def spy(*batch):
        seen.add(torch.get_num_threads())
        return original(*batch)

    monkeypatch.setattr(scoring, "_score", spy)
    try:
        list(score_rows(find_images([str(photos)]), model, 2, jobs=4))
        assert seen == {1} and torch.get_num_threads() == 4
        list(score_rows(find_images([str(photos / "0.png")]), model, 2, jobs=4))
        assert seen == {1, 4}  # a single image may have all of them
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("until, maps", [("read", False), ("scored", True), ("mapped", True)])
def test_a_batch_that_nobody_waits_for_ends_after_the_step_it_is_in(until, maps, photos, model, tmp_path, monkeypatch):
    steps, closing = [], threading.Event()

    def noting(step, work):
        def noted(*args, **options):
            done = work(*args, **options)
            steps.append(step)
            if step == until:
                closing.set()
                while not threads._closed:
                    time.sleep(0.001)
            return done

        return noted

    monkeypatch.setattr(ImageRow, "square", noting("read", ImageRow.square))
    monkeypatch.setattr(model, "ratings", noting("scored", model.ratings), raising=False)
    monkeypatch.setattr(model, "maps", noting("mapped", model.maps), raising=False)
    rows = [row for row in find_images([str(photos)]) if row.error is None][:2]
    threads = Threads(1)
    task = threads.submit(scoring._score, rows, [tmp_path / "a.npy", None] if maps else [None] * 2, model, threads.go_on)
    closing.wait(60)
    threads.close()
    with pytest.raises(RuntimeError, match="have ended"):
        task.result()
    assert steps == ["read", "read", "scored", "mapped"][: {"read": 1, "scored": 3, "mapped": 4}[until]]
    assert not (tmp_path / "a.npy").exists()


def test_there_is_no_bar_in_a_file_unless_it_takes_long(photos, model, monkeypatch):
    for quiet, said in ((30.0, False), (0.0, True)):
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(lines, "QUIET", quiet)
        list(score_rows(find_images([str(photos)]), model, 2))
        assert ("img/s" in stream.getvalue()) is said, quiet


def test_few_images_are_spread_over_the_jobs(photos, model):
    assert [len(part) for part in score_rows(find_images([str(photos)]), model, 32, jobs=3)] == [3, 3, 3]


def rows_named(*names):
    return [ImageRow(name, Path(name)) for name in names]


def test_names_of_maps_are_different_and_short_enough_for_a_file_system():
    long = "l" * 300
    names = scoring.map_names(rows_named("x.jpg", "x.jpg", "x.jpg-2", long, long + "m", f"{'é' * 200}/a.png"))
    assert [str(name) for name in names[:3]] == ["x.jpg.png", "x.jpg-2.png", "x.jpg-2-2.png"]
    assert len(set(names)) == 6 and all(len(os.fsencode(part)) <= 210 for name in names for part in name.parts)


def test_a_member_with_a_name_of_244_bytes_gets_its_row_and_its_map(photos, models, tmp_path, capsys):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(photos / "0.png", "l" * 240 + ".png")
        member = archive.gettarinfo(photos / "1.png")
        member.pax_headers = {"path": "nul\0.png"}
        with (photos / "1.png").open("rb") as file:
            archive.addfile(member, file)
    maps = tmp_path / "maps"
    command = ["score", "--model", models[0], str(tmp_path / "a.tar"), "--map", str(maps), "--csv", str(tmp_path / "s.csv")]
    assert main(command) == 0
    assert len([path for path in maps.rglob("*.png") if path.is_file()]) == 2
    assert (
        "no norms" in (said := capsys.readouterr().err)
        and "2 images scored" in said
        and len(said.splitlines()) == 2
        and (tmp_path / "s.csv").read_text().count(",0.") == 2
    )


def test_a_map_that_cannot_be_written_is_one_line_and_the_others_are_written(photos, model, tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "0.png.png").mkdir()  # where a file should be
    done = [row for part in score_rows(find_images([str(photos)]), model, maps=tmp_path / "maps") for row in part]
    assert "0.png.png" in done[0].map_error and not any(row.map_error for row in done[1:])
    assert all(row.score is not None and row.error is None for row in done)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_disk_costs_the_maps_and_no_score(photos, model, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    done = [row for part in score_rows(find_images([str(photos)]), model, maps=tmp_path / "maps") for row in part]
    assert all(row.score is not None and "the disk is full" in row.map_error for row in done)


def test_levels_of_12_bits_are_scored_as_they_are_and_said(tmp_path, model, capsys):
    levels = np.linspace(0, 4095, 900).astype(np.uint16).reshape(30, 30)
    Image.fromarray(levels).save(tmp_path / "dark.png")
    ((row,),) = score_rows(find_images([str(tmp_path)]), model)
    assert row.score == pytest.approx(model.ratings(read_square(tmp_path / "dark.png", model.encoder.size)[None])[0])
    assert capsys.readouterr().err.startswith(
        f"clicv2lite: {tmp_path}/dark.png: its levels use only 12 of 16 bits (maximum 4095)"
    )


class Unreachable:
    def read(self, i):
        raise UserError("s3://bucket/a.tar: cannot be read after 3 tries")


def test_an_image_that_cannot_be_fetched_costs_no_other_its_score(photos, model):
    rows = find_images([str(photos)])
    rows[4] = ImageRow("s3://bucket/a.tar/4.png", Path("4.png"), archive=Unreachable())
    done = [row for part in score_rows(rows, model, 3) for row in part]
    assert [row.image for row in done if row.score is None] == [rows[4].image]
    assert "after 3 tries" in done[4].error and [row.unreached for row in done] == [row is done[4] for row in done]


def test_a_part_with_an_image_that_cannot_be_fetched_is_not_written_so_it_is_tried_again(photos, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # as a worker of Ray does
    rows = (*find_images([str(photos)]), ImageRow("s3://bucket/a.tar/1.png", Path("1.png"), archive=Unreachable()))
    scorer = Scorer(Worker("cpu", {}, torch.get_num_threads(), 4, models[0], None, "m", str(tmp_path)))
    told = json.loads(scorer({"part": pickle.dumps(Part(tmp_path / "a.parquet", "a", rows))})["told"])
    assert "after 3 tries" in told["problem"] and not (tmp_path / "a.parquet").exists()


def test_errors_in_a_log_file_begin_at_the_left_edge(photos, model, monkeypatch):
    for i in range(0, 9, 2):
        (photos / f"{i}.png").write_bytes(b"")
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(lines, "QUIET", 0.0)
    list(score_rows(find_images([str(photos)]), model, 1))
    said = stream.getvalue().splitlines()
    assert all(line.startswith("clicv2lite: ") for line in said) and sum("is empty" in line for line in said) == 5
