import io

import numpy as np
import pytest
import torch
from PIL import Image

from clicv2lite.data.batches import batches, map_images, read_squares
from clicv2lite.data.centre import read_centre
from clicv2lite.data.images import read_square


def test_every_file_is_read_once_in_order_or_reported(tmp_path):
    paths = []
    for i in range(7):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(np.full((9, 5, 3), 30 * i, dtype=np.uint8)).save(paths[-1])
    paths[2].write_bytes(b"no image")
    paths[5].unlink()
    got = list(batches(paths, 4, 3, "reading"))
    assert [b.rows for b in got] == [[0, 1], [3, 4], [6]]
    assert sorted(i for b in got for i in b.errors) == [2, 5]
    assert str(paths[2]) in got[0].errors[2]
    for batch in got:
        for i, image in zip(batch.rows, batch.images, strict=True):
            assert torch.equal(image, read_square(paths[i], 4))


def test_a_batch_of_bad_files_is_empty(tmp_path):
    (batch,) = batches([tmp_path / "a.png"], 8, 4, "reading")
    assert batch.rows == [] and batch.images.shape == (0, 3, 8, 8) and list(batch.errors) == [0]


def test_what_work_makes_of_the_readable_images_is_joined_and_the_others_are_named(tmp_path, capsys):
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i in (0, 2, 4):
        Image.new("RGB", (9, 5), (10 * i,) * 3).save(paths[i])
    seen = []

    def level(images):
        seen.append(len(images))
        return images.float().mean((1, 2, 3))

    found, read, skipped = map_images(level, paths, 4, 2, "reading")
    assert found.tolist() == [0, 20, 40] and seen == [1, 1, 1]
    assert read.tolist() == [True, False, True, False, True] and skipped == [str(paths[1]), str(paths[3])]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(name in line for name, line in zip((*skipped, "2 of 5"), lines, strict=True))
    assert read_squares(paths, 4)[0].equal(torch.stack([read_square(paths[i], 4) for i in (0, 2, 4)]))


def test_without_a_readable_image_nothing_is_worked_on(tmp_path):
    found, read, skipped = map_images(lambda images: images / 0, [tmp_path / "a.png"], 4, 2, "reading")
    assert len(found) == 0 and not read.any() and skipped == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("reader", [read_square, read_centre])
def test_every_reader_tells_of_images_that_are_dark(tmp_path, capsys, reader):
    Image.fromarray(np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)).save(tmp_path / "a.png")
    (batch,) = batches([tmp_path / "a.png"], 8, 4, "reading", reader)
    assert batch.images[0].equal(reader(tmp_path / "a.png", 8))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clicv2lite: ") and "a.png: its levels use only 12 of 16 bits" in line


def test_there_is_no_progress_bar_in_a_file(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    list(batches([tmp_path / "a.png"], 8, 4, "reading"))
    assert stream.getvalue() == ""
