"""The package where parts of POSIX are missing, as on Windows, and where case is not told apart, as on macOS. Simulated: the
workflow `test` runs the whole suite on the three systems."""

import ast
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.data.names import as_text, is_image_name, storable
from clicv2lite.data.rated.table import Ratings, write_ratings
from tests import rooms

# what Windows' Python lacks: of these, the package may use what it asks for first
OF_OS = (
    "pread", "sysconf", "getuid", "geteuid", "getgid", "sched_getaffinity", "fork", "forkpty", "killpg", "getpgid", "setsid",
    "getloadavg", "statvfs", "mkfifo", "chown", "wait", "uname",
)  # fmt: skip
OF_SIGNAL = ("SIGKILL", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGPIPE", "alarm", "pthread_sigmask")
MODULES = ("resource", "fcntl", "pwd", "grp", "termios", "pty", "syslog")

CHILD = f"""
import os, signal, subprocess, sys  # and what other people wrote, which knows what to do on Windows
import PIL.Image, filelock, huggingface_hub, matplotlib, numpy, platformdirs.unix, safetensors.torch, scipy.stats, simplejpeg
import anywidget, multiprocessing.spawn, psutil, sklearn.linear_model, timm, torch, torchvision, tqdm
for name in {OF_OS}:
    delattr(os, name)
for name in {OF_SIGNAL}:
    delattr(signal, name)
sys.modules.update(dict.fromkeys({MODULES}))
"""


def on_windows(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", CHILD + code], cwd=folder, capture_output=True, encoding="utf-8",
        env={**os.environ, "CLICV2LITE_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_module_scoring_tars_and_pretraining_work_where_parts_of_posix_are_missing(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    with tarfile.open(tmp_path / "000.tar", "w") as tar:
        for name in "abcd":
            tar.add(tmp_path / f"{name}.png", f"x/{name}.png")
    names = [name for name in rooms.modules() if not name.endswith("__main__")]
    out = on_windows(f"import importlib\nfor name in {names}: importlib.import_module(name)\n" """
from clicv2lite.cli import main
from clicv2lite.data.tars.index import index_tar
tar = index_tar("000.tar")
assert [tar.read(i) for i in range(4)] == [open(f"{name}.png", "rb").read() for name in "abcd"]
assert main(["score", "a.png", "000.tar", "--csv", "s.csv", "--map", "maps"]) == 0
assert main(["pretrain", "--recipe", "ci", "--images", "000.tar", "--out", "run", "--set", "passes=16", "batch=8"]) == 0
assert main(["pretrain", "--recipe", "ci", "--dry-run"]) == 0
assert main(["data", "pack", "--images", ".", "--out", "shards", "--jobs", "1"]) == 0
assert main(["results"]) == 2
assert main(["data", "ic1m", "--metadata", ".", "--out", "ic1m"]) == 2
""", tmp_path)  # fmt: skip
    assert "encoder.safetensors" in out and "--images" in out
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(5e7 < row["memory_bytes"] < 1e12 for row in rows)
    assert len((tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()) == 6


@pytest.mark.parametrize(
    ("member", "posix", "windows"),
    [
        ("a/b.jpg", "a/b.jpg", "a/b.jpg"),
        ("/etc/../x.jpg", "etc/x.jpg", "etc/x.jpg"),
        ("12:30?.jpg", "12:30?.jpg", "12_30_.jpg"),
        ("C:/x.jpg", "C:/x.jpg", "C_/x.jpg"),
        ("..\\x.jpg", "..\\x.jpg", ".._x.jpg"),
        ("con/Nul.jpg", "con/Nul.jpg", "_con/_Nul.jpg"),
        ("console/com10.jpg", "console/com10.jpg", "console/com10.jpg"),
        ("folder./a.jpg", "folder./a.jpg", "folder_/a.jpg"),
    ],
)
def test_a_member_of_a_tar_gets_a_file_name_that_the_system_takes(member, posix, windows):
    assert storable(member, windows=False).as_posix() == posix
    assert storable(member, windows=True).as_posix() == windows


def test_names_in_tables_have_slashes_on_every_system(monkeypatch, tmp_path):
    image = tmp_path / "other" / "a.png"
    image.parent.mkdir()
    Image.new("RGB", (8, 8)).save(image)
    write_ratings(Ratings([image], np.array([0.5]), None, None), tmp_path / "tables" / "r.csv")
    assert image.as_posix() in (tmp_path / "tables" / "r.csv").read_text(encoding="utf-8")
    monkeypatch.setattr(os, "sep", "\\")
    assert as_text("folder\\a.jpg") == "folder/a.jpg"
    assert is_image_name("folder\\a.jpg") and not is_image_name("folder\\.git\\a.jpg")


def test_a_table_with_backslashes_says_what_to_write(tmp_path, capsys):
    (tmp_path / "r.csv").write_text("image,score\nfolder\\a.jpg,0.5\n", encoding="utf-8")
    assert main(["measures", "--ratings", str(tmp_path / "r.csv")]) == 2
    assert capsys.readouterr().err.endswith("; write / between folder and file\n")


def test_maps_whose_names_differ_in_case_do_not_overwrite_each_other(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("A.png", "a.png"):
            tar.add(tmp_path / "a.png", name)
    assert main(["score", str(tmp_path / "t.tar"), "--map", str(tmp_path / "maps"), "--csv", str(tmp_path / "s.csv")]) == 0
    names = [path.name for path in (tmp_path / "maps" / "t.tar").iterdir()]
    assert len({name.casefold() for name in names}) == 2 and sorted(names) == ["A.png.png", "a.png-2.png"]


def text_files(path):
    """Calls that read or write text: line, whether it writes, names of keywords, number of plain arguments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        where = ast.unparse(node.func)
        given = {keyword.arg for keyword in node.keywords}
        words = [value.value for value in ast.walk(node) if isinstance(value, ast.Constant) and isinstance(value.value, str)]
        if where.endswith(("read_text", "write_text")):
            yield (
                node.lineno,
                where.endswith("write_text"),
                given | ({"encoding"} if node.args and where.endswith("read_text") else set()),
            )
        elif where.split(".")[-1] == "open" and where.split(".")[0] not in ("os", "Image", "tarfile", "remote", "system"):
            mode = next((word for word in words if word and set(word) <= set("rwaxbt+")), "r")
            if "b" not in mode:
                yield node.lineno, set(mode) & set("wax") != set(), given
        elif "text" in given and where.startswith("subprocess."):
            yield node.lineno, False, given


@pytest.mark.parametrize(
    "path", sorted(rooms.PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(rooms.PACKAGE).as_posix()
)
def test_text_is_utf_8_and_its_lines_end_alike_on_every_system(path):
    wrong = [
        line for line, writes, given in text_files(path)
        if "encoding" not in given or (writes and "newline" not in given and path.name != "memory.py")  # it writes to /proc
    ]  # fmt: skip
    assert wrong == []
