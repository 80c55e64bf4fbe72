"""Commands with options of every kind: status 0, 1 or 2, each line of ours begins with the program's name, no traceback."""

import argparse
import importlib
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clicv2lite.cli import COMMANDS, main
from clicv2lite.evaluate import claims
from tests.fuzz.mutations import ODD_NUMBERS, ODD_TEXTS

RATINGS = "image,score\n" + "".join(f"photos/{i}.png,0.{i}\n" for i in range(10))
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
# what a command cannot do without, so that an attack comes past the parser; a tiny model, so that each is short
GIVEN = {"images": "photos", "encoder": "model", "ratings": "ratings.csv", "name": "noise", "out": "new.onnx", "model": "model"}
SHORT = {"onnx": ["--model", "empty"], "claims": ["--suites", "empty"], "pairs": ["--limit", "2"]}  # else they take seconds
ENDLESS = {10**9, 10**30, 2**63}  # draws or epochs that a command may well be asked for


def actions_of(name):
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    return parser._actions


def options_of(name):
    return [option for action in actions_of(name) for option in action.option_strings if option not in ("-h", "--help")]


def given_of(name):
    """Words with which a command begins its work."""
    needed = [action for action in actions_of(name) if action.required or action.dest in ("model", "ratings")]
    return [word for one in needed for word in (*one.option_strings[:1], GIVEN[one.dest])] + SHORT.get(name, [])


@pytest.fixture(scope="module")
def here(tmp_path_factory, photos, models):
    folder = tmp_path_factory.mktemp("here")
    shutil.copytree(photos, folder / "photos")
    shutil.copytree(models[0], folder / "model")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe") if hasattr(os, "mkfifo") else (folder / "pipe").touch()
    stored = claims.CHECKOUT.parent / "claims.json"  # which `claims`, without --json, writes in a clone
    before = stored.stat().st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "CHECKOUT", folder / "no clone")
        yield folder
    assert stored.stat().st_mtime_ns == before, "the repository is not ours to change"


def words(name, works):
    """Options of a command and values for them, good and bad; `works`: after words with which it begins its work."""
    odd = [str(value) for value in (*ODD_NUMBERS, *ODD_TEXTS) if "\0" not in str(value) and not (works and value in ENDLESS)]
    files = ["ratings.csv", "empty", "pipe", "no/such/file", "/dev/null", "/dev/zero", "ratings.csv/x", "new.json", "x" * 300]
    value = st.sampled_from([*odd, *files])
    return st.lists(st.one_of(st.sampled_from(options_of(name)), value, value), max_size=5)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LONG])
@given(data=st.data())
@settings(fuzz, max_examples=max(10, fuzz.max_examples // 4))
def test_any_options_end_in_a_status_and_lines_of_ours(name, data, here, capfd):
    given = given_of(name) if data.draw(st.booleans()) else []
    argv = [name, *given, *data.draw(words(name, bool(given)))]
    (here / "ratings.csv").write_text(RATINGS, encoding="utf-8")
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
    if "ratings.csv" in given and argv.count("--ratings") == 1:  # no command replaces what it reads
        assert (here / "ratings.csv").read_text(encoding="utf-8") == RATINGS, argv


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LONG])
def test_the_attacks_come_past_the_parser(name):
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(COMMANDS[name][0]).add_arguments(parser)
    assert parser.parse_args(given_of(name))
