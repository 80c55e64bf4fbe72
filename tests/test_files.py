import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clicv2lite import files
from clicv2lite.errors import UserError
from clicv2lite.files import atomic, check_output_file, make_folder, put_json, reason, write_bytes, write_json


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old" * 100)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_until_the_block_ends_the_old_file_stands(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old" and temporary.parent == tmp_path
    assert path.read_text() == "new"


@pytest.mark.parametrize("written", [True, False])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, written):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        if written:
            temporary.write_text("half of the new")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_json_is_written_readably_and_never_with_nan(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"name": "Müller", "values": [1, 2.5, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Müller", "values": [1, 2.5, None]}
    assert "Müller" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError):
        write_json(path, {"value": float("nan")})
    assert "Müller" in path.read_text(encoding="utf-8") and list(tmp_path.iterdir()) == [path]


def test_the_folder_of_an_output_is_made_and_a_wrong_one_is_named(tmp_path):
    check_output_file(tmp_path / "a" / "b" / "out.json", "--json")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(UserError, match=r"--json .*is a folder"):
        check_output_file(tmp_path, "--json")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*cannot be made"):
        make_folder(tmp_path / "file" / "below", "--out")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/new", "link", "pipe"])
def test_a_device_a_pipe_or_a_link_to_one_is_never_replaced(tmp_path, path):
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    before = os.stat("/dev/null").st_rdev
    with pytest.raises(UserError, match="not a regular file"):
        write_bytes(tmp_path / path, b"x")
    assert os.stat("/dev/null").st_rdev == before and not Path("/dev/new").exists()


def test_a_link_is_followed_to_a_file_that_exists_or_not(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    for data in (b"new", b"newer"):
        write_bytes(tmp_path / "link", data)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "file").read_bytes() == data
    assert os.listdir(tmp_path / "real") == ["file"]


def test_permissions_are_those_of_the_umask_or_of_the_old_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"x")
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
        (tmp_path / "file").chmod(0o604)
        write_bytes(tmp_path / "file", b"y")
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o604
    finally:
        os.umask(before)


def test_the_longest_name_is_written_and_a_longer_one_is_one_line(tmp_path):
    name = "ü" * 127
    write_bytes(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(OSError) as error:
        write_bytes(tmp_path / (name * 2), b"x")
    assert error.value.filename == str(tmp_path / (name * 2))
    with pytest.raises(UserError, match=r"--json .*too long"):
        check_output_file(tmp_path / (name * 2), "--json")
    with pytest.raises(UserError, match="NUL"):
        check_output_file(tmp_path / "a\0b", "--json")


def test_threads_that_write_one_file_do_not_meet(tmp_path):
    contents = [bytes([i]) * 10_000 for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_bytes(tmp_path / "file", data), contents))
    assert (tmp_path / "file").read_bytes() in contents and os.listdir(tmp_path) == ["file"]


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(full))
    with pytest.raises(OSError) as error:
        write_bytes(tmp_path / "file", b"new")
    assert error.value.filename == str(tmp_path / "file") and reason(error.value) == "the disk is full"
    assert (tmp_path / "file").read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_a_result_that_cannot_be_written_is_printed(tmp_path, monkeypatch, capsys):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(full))
    with pytest.raises(UserError, match=r"--json .*r.json: cannot be written \(the disk is full\); the result was printed"):
        put_json(tmp_path / "r.json", {"pcc": 0.5})
    assert json.loads(capsys.readouterr().out) == {"pcc": 0.5}


def test_a_name_that_is_not_utf_8_comes_back_from_json(tmp_path):
    name = os.fsdecode(b"latin\xfc.png")
    write_json(tmp_path / "r.json", {"encoder": name})
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == {"encoder": name}


def test_windows_gets_some_time_to_close_the_old_file(tmp_path, monkeypatch):
    replace, refused = os.replace, [PermissionError(13, "in use")] * 3

    def busy(source, target):
        if refused:
            raise refused.pop()
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "name", "nt")
        patched.setattr(files.os, "replace", busy)
        files._replace(make(tmp_path / "t"), tmp_path / "f")
    assert (tmp_path / "f").exists() and not refused


def make(path):
    path.touch()
    return path
