import json

import pytest

from clicv2lite.errors import UserError
from clicv2lite.files import atomic, check_output_file, make_folder, write_bytes, write_json


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
    check_output_file(None, "--json")  # an option that was not given
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(UserError, match=r"--json .*is a folder"):
        check_output_file(tmp_path, "--json")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*cannot be made"):
        make_folder(tmp_path / "file" / "below", "--out")
