"""Commands with options of every kind: status 0, 1 or 2, each line of ours begins with the program's name, no traceback."""

import argparse
import importlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicv2lite.cli import COMMANDS, main
from clicv2lite.evaluate import claims
from tests.fuzz.mutations import ODD_NUMBERS, ODD_TEXTS

fuzz = settings.get_profile("fuzz")
LONG = {
    "bench",
    "bench-memory",
    "bench-score",
    "results",
    "supervised",
    "imagenet-features",
    "release",
    "pretrain",
    "evaluate",
    "data",
}


def options_of(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    return [option for action in parser._actions for option in action.option_strings if option not in ("-h", "--help")]


@pytest.fixture(scope="module")
def here(tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("here")
    (folder / "ratings.csv").write_text(
        "image,score\n" + "".join(f"{photos / f'{i}.png'},0.{i}\n" for i in range(10)), encoding="utf-8"
    )
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe") if hasattr(os, "mkfifo") else (folder / "pipe").touch()
    stored = claims.CHECKOUT.parent / "claims.json"  # which `claims`, without --json, writes in a clone
    before = stored.stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "CHECKOUT", folder / "no clone")
        yield folder
    assert stored.stat().st_mtime_ns == before, "the repository is not ours to change"


def words(name):
    """Options of a command and values for them, good and bad."""
    odd = [str(value) for value in (*ODD_NUMBERS, *ODD_TEXTS) if "\0" not in str(value)]
    files = ["ratings.csv", "empty", "pipe", "no/such/file", "/dev/null", "/dev/zero", "ratings.csv/x", "new.json", "x" * 300]
    value = st.sampled_from([*odd, *files])
    return st.lists(st.one_of(st.sampled_from(options_of(name)), value, value), max_size=5)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LONG])
@given(data=st.data())
@settings(fuzz, max_examples=max(10, fuzz.max_examples // 4))
def test_any_options_end_in_a_status_and_lines_of_ours(name, data, here, capfd):
    argv = [name, *data.draw(words(name))]
    before = os.getcwd()
    os.chdir(here)
    try:
        status = main(argv)
    except SystemExit as stopped:  # --help and --version
        status = stopped.code
    finally:
        os.chdir(before)
    err = capfd.readouterr().err
    assert status in (0, 1, 2), (argv, err)
    assert "Traceback" not in err, (argv, err)
    if status == 2:
        assert err.startswith("clicv2lite: ") and err.count("\n") == 1, (argv, err)
    assert (here / "ratings.csv").read_text(encoding="utf-8").startswith("image,score\n"), argv
