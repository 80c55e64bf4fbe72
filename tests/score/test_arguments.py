import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.errors import UserError
from clicv2lite.score.arguments import expand, find_images
from clicv2lite.score.table import AGAIN, Table


class Input:
    """Standard input that holds some bytes."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def names(*arguments):
    return [row.image for row in find_images(expand(list(map(str, arguments))))]


def test_a_quoted_pattern_is_the_images_that_it_fits_sorted(photos):
    (photos / "notes.txt").write_text("no image")
    (photos / "deep").mkdir()
    (photos / "3.png").rename(photos / "deep" / "3.png")
    assert names(photos / "[0-2].png") == [str(photos / f"{i}.png") for i in range(3)]
    assert names(photos / "**" / "3.png") == [str(photos / "deep" / "3.png")]
    files = [str(photos / f"{i}.png") for i in (0, 1, 2, 4, 5, 6, 7, 8)]
    assert names(photos / "*") == [*files, str(photos / "deep" / "3.png")]


def test_braces_are_expanded_as_a_shell_does_and_what_is_missing_is_a_row(photos):
    rows = find_images(expand([str(photos / "{7..9}.png"), str(photos / "none*.png")]))
    assert [row.image for row in rows[:3]] == [str(photos / f"{i}.png") for i in (7, 8, 9)]
    assert "no image fits this pattern" in rows[3].error


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos):
    (photos / "0.png").rename(photos / "a[1]{2}*.png")
    assert names(photos / "a[1]{2}*.png") == [str(photos / "a[1]{2}*.png")]


@pytest.mark.parametrize("null", [False, True])
def test_names_come_from_standard_input(photos, null, monkeypatch):
    given = [str(photos / "1.png"), str(photos / "two\nlines.png") if null else str(photos / "*.png")]
    end = b"\0" if null else b"\r\n"
    monkeypatch.setattr("sys.stdin", Input(b"".join(os.fsencode(name) + end for name in given)))
    assert expand(["first.png", "-"], null) == ["first.png", *given]
    monkeypatch.setattr("sys.stdin", Input(b"\n\n"))
    with pytest.raises(UserError, match="no name came from standard input"):
        expand(["-"])


def test_the_images_of_a_tar_get_the_scores_of_their_files(photos, models, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in sorted(photos.iterdir()):
            archive.add(path, f"in/{path.name}")
        archive.addfile(tarfile.TarInfo("in/note.txt"))
        broken = tarfile.TarInfo("in/../../bad.jpg")
        broken.size = 5
        archive.addfile(broken, io.BytesIO(b"wrong"))
    words = ["score", "--model", models[0]]
    assert main([*words, str(photos), "--csv", str(tmp_path / "files.csv")]) == 0
    assert main([*words, str(tmp_path / "a.{tar,tar}"), "--csv", str(tmp_path / "tar.csv"), "--map", str(tmp_path / "m")]) == 1
    want = {f"{tmp_path}/a.tar/in/{name.rsplit('/')[-1]}": s for name, s in Table(tmp_path / "files.csv").scores.items()}
    once = {key: s for key, s in Table(tmp_path / "tar.csv").scores.items() if AGAIN not in key}
    assert once == pytest.approx(want, abs=1e-5)
    assert (tmp_path / "m" / "a.tar" / "in" / "0.png.png").is_file() and len(list((tmp_path / "m").rglob("*.png"))) == 18


def test_a_damaged_tar_is_one_row_and_the_others_are_scored(photos, models, tmp_path):
    (tmp_path / "bad.tar").write_bytes(b"no tar at all" * 100)
    words = ["score", "--model", models[0], str(tmp_path / "bad.tar"), str(photos / "0.png")]
    assert main([*words, "--csv", str(tmp_path / "s.csv")]) == 1
    assert list(Table(tmp_path / "s.csv").scores) == [str(photos / "0.png")]


@pytest.mark.parametrize("option, place", [
    ("--csv", "s.csv"), ("--csv", "new/s.csv"), ("--json", "s.json"), ("--map", "maps"), ("--map", "."), ("--html", "top.html"),
])  # fmt: skip
def test_nothing_is_written_into_a_folder_that_is_scored(photos, models, option, place, capsys):
    before = sorted(photos.rglob("*"))
    words = ["score", "--model", models[0], str(photos), option, str(photos / place)]
    assert main(words + (["--top", "2"] if option == "--html" else [])) == 2
    error = capsys.readouterr().err
    assert "that is to be scored" in error and option in error and len(error.splitlines()) == 1
    assert sorted(photos.rglob("*")) == before


@pytest.mark.parametrize("words, message", [
    (["--json", "1.png"], "the name of an image"), ([""], "this is empty"),
    (["--jobs", "0"], "--jobs 0"), (["--top", "0"], "--top 0"), (["--html", "x.html"], "without --top"),
])  # fmt: skip
def test_mistakes_with_options_are_one_line(photos, models, words, message, capsys):
    assert main(["score", "--model", models[0], str(photos / "0.png"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_maps_are_the_smoothed_shares(photos, models, tmp_path):
    from clicv2lite.data.images import read_image
    from clicv2lite.heads.heatmap import overlay, relative, smooth
    from clicv2lite.models.model import load_model
    from clicv2lite.score.maps import BAR

    assert main(["score", "--model", models[0], str(photos / "8.png"), "--map", str(tmp_path / "m")]) == 0
    levels = relative(smooth(load_model(models[0]).complexity_map(photos / "8.png")))
    got = np.asarray(Image.open(tmp_path / "m" / "8.png.png")).astype(int)[:-BAR]
    assert np.abs(got - np.asarray(overlay(read_image(photos / "8.png"), levels)).astype(int)).max() <= 1


def test_a_folder_and_a_pattern_count_what_they_pass_over(photos, capsys):
    (photos / "a.heic").write_bytes(b"")
    (photos / "b.psd").write_bytes(b"8BPS")
    (photos / "8.png").rename(photos / "no_ending")
    assert names(photos) == [*(str(photos / f"{i}.png") for i in range(8)), str(photos / "no_ending")]
    assert names(photos / "*") == names(photos)
    line = "2 files that may be images are not read: 1 .heic (pip install pillow-heif), 1 .psd"
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"clicv2lite: {photos}: {line}" and f"clicv2lite: {photos}/*: {line}" in said


def test_a_recursive_pattern_ends_where_links_form_a_loop(photos):
    for name in ("one", "two"):
        (photos / name).symlink_to(photos, target_is_directory=True)
    assert names(photos / "**" / "*.png") == [str(photos / f"{i}.png") for i in range(9)]
