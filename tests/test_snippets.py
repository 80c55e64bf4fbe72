"""Every example of the front pages and the book can be run: our parsers take the command lines, and the README's are executed.

`make release-check` runs this file beside a copy of the README, in an environment that holds the wheel and no repository. Only
there every command line is executed; here the Python examples are, and command lines are parsed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clicv2lite import cli
from clicv2lite.cli import COMMANDS, main

HERE = Path(__file__).parent
ALONE = (HERE / "README.md").is_file()
ROOT = HERE if ALONE else HERE.parent
PAGES = ["README.md"] if ALONE else [
    "README.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md", "clicv2lite/models/default/model_card.md",
    "clicv2lite/models/plus/model_card.md", "clicv2lite/models/lite/model_card.md",
    *(path.relative_to(ROOT).as_posix() for kind in ("*.md", "*.ipynb") for path in sorted((ROOT / "book").glob(kind))),
]  # fmt: skip
NOT_EXECUTED = {  # how a command line of the README starts -> why
    "pip install": "this environment is what it makes",
    "uv pip install": "this environment is what it makes",
    "make ": "needs the repository",
    "clicv2lite data savoias": "needs a network",
    "clicv2lite/launch/": "needs the repository",
    "clicv2lite pretrain --recipe mine.toml": "its file is yours",
    "clicv2lite evaluate --suite table2 --images photos/ --ratings savoias/ratings.csv --known": "needs the repository",
}
SHORT = {
    "clicv2lite pretrain --recipe lite": " --set passes=64 batch=32",
    "clicv2lite probe --encoder runs/lite --imagenet": "",  # no folds there
    "clicv2lite probe": " --folds 2",
    "clicv2lite leaderboard": " --folds 2",
    "clicv2lite evaluate --suite table2 --images photos/ --ratings savoias/ratings.csv --rows": " --size ci",
}  # not minutes, and not the hundreds of ratings that a reader has


def text_of(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    if not page.endswith(".ipynb"):
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def blocks(text, *languages):
    """The fenced blocks of a Markdown text in one of the languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.M | re.S)


def command_lines(text):
    """Lines of the shell blocks, those that are continued joined."""
    shell = "\n".join(blocks(text, "bash", "console", "sh", "shell")).replace("\\\n", " ")
    return [line.removeprefix("$ ").strip() for line in shell.splitlines() if line.strip() and not line.startswith("#")]


def words_of(line):
    """The words after `clicv2lite`, or None if the line is no call of ours."""
    call = re.split(r"\s[|]\s|\s&&\s", line)[-1]
    words = shlex.split(call, comments=True)
    if words[0].startswith("clicv2lite/launch/"):
        return ["pretrain", *words[1:]]
    return words[1:] if words[0] == "clicv2lite" else None


LINES = [(page, line) for page in PAGES for line in command_lines(text_of(page)) if words_of(line)]
INLINE = sorted(
    {(page, " ".join(text.split())) for page in PAGES for text in re.findall(r"`(clicv2lite\s[^`]+)`", text_of(page))}
)


def test_there_are_examples():
    assert LINES and INLINE and blocks(text_of("README.md"), "python")


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_command_line_of_a_page_is_one_that_we_take(page, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = words_of(line)
    monkeypatch.setattr(cli.importlib.import_module(COMMANDS[words[0]][0]), "run", lambda args: 0)
    assert main(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("page", "text"), INLINE)
def test_a_command_in_a_sentence_has_the_options_that_it_names(page, text, capsys):
    words = [word for word in shlex.split(text)[1:] if word != "..."]
    if not words[0].islower() or words[0].startswith("-"):
        return  # clicv2lite COMMAND --help
    assert words[0] in COMMANDS
    inner = [word for word in words[1:2] if words[0] == "data" and not word.startswith("-")]
    with pytest.raises(SystemExit):
        main([words[0], *inner, "--help"])
    shown = capsys.readouterr().out
    assert [word for word in words if word.startswith("--") and word not in shown] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the README's examples are given: photographs, tars of some, a rating table, two classes of ImageNet."""
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    places = ("holiday", "photos", "flickr", "path/to/photos", "savoias")
    places += tuple(f"imagenet/{split}/{kind}" for split in ("train", "val") for kind in ("a", "b"))
    for name in ("photo.jpg", *(f"{place}/{i}.jpg" for place in places for i in range(12))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (160, 200, 3), dtype=np.uint8)).save(folder / name)
    (folder / "tars").mkdir()
    for number in range(10):
        with tarfile.open(folder / "tars" / f"{number:03d}.tar", "w") as tar:
            tar.add(folder / "photo.jpg", "photo.jpg")
    rows = ["image,score", *(f"{i}.jpg,{i / 12}" for i in range(12))]
    (folder / "savoias" / "ratings.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("code", blocks(text_of("README.md"), "python"))
def test_a_python_example_of_the_readme_runs(code, folder):
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_every_name_of_ours_in_the_readmes_sentences_can_be_imported():
    text = text_of("README.md")
    for name in set(re.findall(r"`(clicv2lite(?:\.\w+)+)`", text)):
        assert cli.importlib.import_module(name)
    for line in set(re.findall(r"`(from clicv2lite[\w.]* import \w+)`", text)):
        exec(line, {})


@pytest.mark.skipif(not ALONE, reason="executed by `make release-check`")
@pytest.mark.parametrize("line", command_lines(text_of("README.md")))
def test_a_command_line_of_the_readme_runs(line, folder):
    if why := next((why for start, why in NOT_EXECUTED.items() if line.startswith(start)), None):
        pytest.skip(why)
    short = next((more for start, more in SHORT.items() if line.startswith(start)), "")
    line = re.sub(r"\s+#.*", "", line) + short
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    there = {**os.environ, "PATH": path}
    call = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(call, cwd=folder, capture_output=True, encoding="utf-8", env=there)
    assert done.returncode == 0 and shutil.which("clicv2lite", path=path), done.stderr
