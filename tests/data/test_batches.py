import io

import numpy as np
import torch
from PIL import Image

from clicv2lite.data.batches import batches
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


def test_there_is_no_progress_bar_in_a_file(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    list(batches([tmp_path / "a.png"], 8, 4, "reading"))
    assert stream.getvalue() == ""
