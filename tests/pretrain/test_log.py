"""metrics.jsonl is read up to the first line that is no row, whatever that line is."""

import json

import pytest

from clicv2lite.pretrain.log import Log, read_log

ROWS = [{"step": 1, "seconds": 0.5, "total": 3.0}, {"step": 2, "seconds": 1, "mfu": None}]


def written(path, *lines):
    path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
    return path


@pytest.mark.parametrize("line", [
    b"3\n", b"[]\n", b"{}\n", b'{"step": "x"}\n', b'{"step": 1.5}\n', b'{"step": true}\n', b'{"step": -1}\n', b"\xff\xfe\n",
    b'{"step": 3, "seconds": NaN}\n', b'{"step": 3, "seconds": 1e999}\n', b'{"step": 3, "seconds": "long"}\n',
    b'{"step": ' + b"9" * 5000 + b"}\n", b"[" * 100_000 + b"\n", b"\n",
], ids=range(14))  # fmt: skip
def test_a_line_that_is_no_row_is_named_and_ends_the_log(tmp_path, line, capsys):
    path = written(tmp_path / "metrics.jsonl", *ROWS, line, {"step": 4})
    assert read_log(path) == ROWS
    assert capsys.readouterr().err == f"clicv2lite: {path} line 3: not a row of a log; read up to here\n"
    log = Log(path, 1)
    log.write({"step": 2})
    log.file.close()
    assert log.seconds == 0.5 and read_log(path) == [ROWS[0], {"step": 2}]


def test_an_incomplete_last_line_is_left_out_in_silence(tmp_path, capsys):
    assert read_log(written(tmp_path / "metrics.jsonl", *ROWS, b'{"step": 3, "tot')) == ROWS
    assert read_log(tmp_path / "none.jsonl") == [] and capsys.readouterr().err == ""
