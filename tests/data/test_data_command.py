import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest
from PIL import Image

from clicv2lite.data.command import add_arguments, run
from clicv2lite.data.ic1m.manifest import Photo, write_manifest
from clicv2lite.data.rated.table import read_ratings
from clicv2lite.data.sources import open_images
from clicv2lite.errors import UserError


def data(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def url(tmp_path) -> str:
    """A repository of Savoias' layout: five art images of which one has no score, two scores without an image."""
    work = tmp_path / "work"
    for folder in ("Images/Art", "Ground truth/xlsx", "Ground truth/npy"):
        (work / folder).mkdir(parents=True)
    for i in range(5):
        (work / f"Images/Art/{i}.{'png' if i % 2 else 'jpg'}").write_bytes(bytes([i]) * 100)
    (work / "Ground truth/npy/global_ranking_art.npy").write_bytes(b"\x80\x04.")
    book = openpyxl.Workbook()
    for row, cell in enumerate(["gt", 10, 20, None, 40, 55.5, 60, None, 70], 1):
        book.active.cell(row, 1, cell)
    book.save(work / "Ground truth/xlsx/global_ranking_art.xlsx")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init"], ["add", "."], ["commit", "-m", "x"], ["clone", "--bare", ".", str(tmp_path / "b.git")]):
        subprocess.run([*git, *arguments], cwd=work, check=True, capture_output=True)
    return (tmp_path / "b.git").as_uri()


def head(tmp_path) -> str:
    git = ["git", "-C", str(tmp_path / "b.git"), "rev-parse", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
def test_savoias_is_fetched_and_tabled_and_counted(url, tmp_path, capsys):
    assert data("savoias", "--url", url, "--out", tmp_path / "out", "--accept-changes") == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        str(tmp_path / "out/ratings.csv"),
        "4 rated images in 1 categories",
        "skipped: 2 scores without an image, 1 images without a score, 1 rows with neither",
        f"commit: {head(tmp_path)}",
    ]
    got = read_ratings(tmp_path / "out/ratings.csv")
    assert got.scores.tolist() == [0.1, 0.2, 0.4, 0.555] and got.categories == ["Art"] * 4
    assert (tmp_path / "out/ratings.csv").read_text().splitlines()[1] == "Images/Art/0.jpg,0.1,Art"
    assert not (tmp_path / "out/Ground truth/npy").exists()


@needs_git
def test_savoias_goes_to_the_cache_and_is_not_fetched_twice(url, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path / "cache"))
    data("savoias", "--url", url, "--accept-changes")
    table = Path(capsys.readouterr().out.splitlines()[0])
    assert table == tmp_path / "cache/savoias/ratings.csv"
    before = table.read_bytes()
    shutil.rmtree(tmp_path / "b.git")
    table.unlink()
    assert data("savoias", "--url", url, "--accept-changes") == 0
    assert table.read_bytes() == before


@needs_git
def test_savoias_with_other_scores_than_those_of_the_results_is_said_before_a_table_is_written(url, tmp_path):
    with pytest.raises(
        UserError, match=r"global_ranking_art\.xlsx: not the scores .* \(289 of 294 are blank\); .*--accept-changes"
    ):
        data("savoias", "--url", url, "--out", tmp_path / "out")
    assert not (tmp_path / "out/ratings.csv").exists()


@needs_git
def test_savoias_of_a_commit_is_that_commit_whatever_came_later(url, tmp_path, capsys):
    first, work = head(tmp_path), tmp_path / "work"
    (work / "Images/Art/0.jpg").write_bytes(b"another picture")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["commit", "-am", "later"], ["push", str(tmp_path / "b.git"), "HEAD"]):
        subprocess.run([*git, *arguments], cwd=work, check=True, capture_output=True)
    assert head(tmp_path) != first
    words = ["savoias", "--url", url, "--out", tmp_path / "out", "--accept-changes", "--commit"]
    assert data(*words, first) == 0 and capsys.readouterr().out.splitlines()[-1] == f"commit: {first}"
    assert (tmp_path / "out/Images/Art/0.jpg").read_bytes() == bytes(100)
    assert data(*words, first) == 0  # it is there
    with pytest.raises(UserError, match=f"this is commit {first}, not {head(tmp_path)}; choose another folder with --out"):
        data(*words, head(tmp_path))
    for wrong in ("main", first[:12], "--upload-pack=x"):
        with pytest.raises(UserError, match=f"--commit {wrong}: give the whole hash of a commit"):
            data(*words[:-1], f"--commit={wrong}")
    with pytest.raises(UserError, match="git could not fetch it"):
        data("savoias", "--url", url, "--out", tmp_path / "none", "--commit", "0" * 40)


@needs_git
def test_savoias_from_nowhere_is_one_line_and_no_table(tmp_path):
    with pytest.raises(UserError, match="git could not fetch it"):
        data("savoias", "--url", (tmp_path / "none.git").as_uri(), "--out", tmp_path / "out")
    assert not (tmp_path / "out/ratings.csv").exists()


@pytest.fixture
def ic9600(tmp_path) -> Path:
    root = tmp_path / "IC9600"
    (root / "images").mkdir(parents=True)
    for name in ("person_1.jpg", "scene_1.jpg", "scene_2.jpg", "object_1.jpg"):
        (root / "images" / name).touch()
    (root / "train.txt").write_text("person_1.jpg  0.25\nscene_1.jpg  0.5\n")
    (root / "test.txt").write_text("scene_2.jpg  0.75\nobject_1.jpg  0.125\n")
    return root


def test_ic9600_writes_both_tables_beside_the_images(ic9600, capsys):
    assert data("ic9600", ic9600) == 0
    assert (ic9600 / "train.csv").read_text() == (
        "image,score,category,split\nimages/person_1.jpg,0.25,person,train\nimages/scene_1.jpg,0.5,scene,train\n"
    )
    assert read_ratings(ic9600 / "test.csv").categories == ["scene", "object"]
    assert capsys.readouterr().out.splitlines() == [
        *(str(ic9600 / "train.csv"), "2 rated images in 2 categories"),
        *(str(ic9600 / "test.csv"), "2 rated images in 2 categories"),
    ]


def test_ic9600_tables_elsewhere_still_find_the_images(ic9600, tmp_path, monkeypatch):
    monkeypatch.chdir(ic9600.parent)
    data("ic9600", "IC9600", "--out", "tables/new")
    monkeypatch.chdir("/")
    assert read_ratings(tmp_path / "tables/new/test.csv").scores.tolist() == [0.75, 0.125]


def test_ic9600_writes_no_table_when_one_is_wrong(ic9600):
    (ic9600 / "test.txt").write_text("scene_2.jpg  7\n")
    with pytest.raises(UserError, match=r"test\.txt line 1: score 7 is outside"):
        data("ic9600", ic9600)
    assert not list(ic9600.glob("*.csv"))


@pytest.fixture
def photos(tmp_path) -> Path:
    """Three pictures, a web page and a file that ends too early."""
    root = tmp_path / "photos"
    root.mkdir()
    for i in range(3):
        Image.linear_gradient("L").rotate(30 * i).convert("RGB").save(root / f"{i}.png")
    (root / "page.jpg").write_bytes(b"<html></html>")
    (root / "short.png").write_bytes((root / "0.png").read_bytes()[:500])
    return root


@pytest.mark.parametrize("name", ["out", "it's"])
def test_pack_says_what_it_wrote_and_how_to_open_it(photos, tmp_path, capsys, name):
    out = tmp_path / name
    assert data("pack", "--images", photos, "--out", out, "--side", 64, "--shard", 2, "--jobs", 1) == 0
    said = capsys.readouterr()
    size = sum(tar.stat().st_size for tar in out.glob("*.tar")) / 1e6
    pattern = f"{out}/{{000000..000001}}.tar"
    first, second, rate, last = said.out.splitlines()
    assert first == f"{out}/manifest.csv" and second == f"3 images in 2 tars, {size:.1f} MB; 2 could not be used"
    assert rate.endswith(" img/s") and shlex.split(last) == ["--images", pattern]
    assert len(open_images([pattern])) == 3
    assert [line.split(":")[0] for line in said.err.splitlines()] == [f"{photos}/page.jpg", f"{photos}/short.png"]
    assert data("pack", "--images", photos, "--out", out, "--side", 64, "--shard", 2, "--jobs", 1) == 0
    assert capsys.readouterr().out.splitlines() == [first, second, last]  # nothing was made, so there is no rate


def test_pack_lists_ten_bad_images_and_counts_the_others(photos, tmp_path, capsys):
    for i in range(20):
        (photos / f"bad{i}.jpg").write_bytes(b"x")
    data("pack", "--images", photos, "--out", tmp_path / "out", "--jobs", 1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 11 and said[-1] == "... and 12 more, see the manifest"


def test_pack_refuses_a_mistake_before_it_writes(photos, tmp_path):
    with pytest.raises(UserError, match="--side 4: give 16 to 65,535"):
        data("pack", "--images", photos, "--out", tmp_path / "out", "--side", 4)
    with pytest.raises(UserError, match="there is no such folder"):
        data("pack", "--images", tmp_path / "none", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", 0], "--count 0: give 1 or more"),
        (["--attempts", 0], "--attempts 0: give 1 or more"),
        (["--attempts", 128], "--attempts 128: give 1 to 100"),
        (["--timeout", -1], "--timeout -1.0: give a number above 0"),
        (["--img2dataset", "/no/such/python"], "--img2dataset /no/such/python: there is no such program"),
        (["--side", 4], "--side 4: give 16"),
    ],
)
def test_ic1m_refuses_a_mistake_before_it_writes(words, message, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra ic1m)")
    (tmp_path / "urls.parquet").touch()
    with pytest.raises(UserError, match=message):
        data("ic1m", "--metadata", tmp_path, "--out", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.posix
@pytest.mark.parametrize("words, work", [
    (["pack", "--images", "worlds:2"], "packing.pack.pack"),
    (["pack", "--images", "worlds:2", "--mosaics", "published"], "packing.pack.pack"),
    (["ic1m", "--metadata", ".", "--img2dataset", sys.executable], "ic1m.build.build"),
    (["ic1m", "--manifest", "m.csv", "--img2dataset", sys.executable], "ic1m.build.rebuild"),
])  # fmt: skip
def test_without_jobs_there_are_as_many_as_cores_that_this_process_may_use(tmp_path, monkeypatch, words, work):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the extra ic1m)")
    monkeypatch.chdir(tmp_path)
    Path("urls.parquet").touch()
    write_manifest(Path("m.csv"), [Photo("1", "http://a/1", status="ok", sha256="0" * 64, key="0")])

    def stop(*arguments):
        raise UserError(f"asked for {next(value for value in reversed(arguments) if isinstance(value, int))} jobs")

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    monkeypatch.setattr(f"clicv2lite.data.{work}", stop)
    with pytest.raises(UserError, match="asked for 3 jobs"):
        data(*words, "--out", "out")
    with pytest.raises(UserError, match="--jobs 0: give 1 or more"):
        data(*words, "--out", "out", "--jobs", 0)


def test_fetching_ratings_needs_no_torch():
    code = "import argparse, sys; from clicv2lite.data.command import add_arguments; add_arguments(argparse.ArgumentParser())"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_a_data_set_must_be_named():
    with pytest.raises(SystemExit) as caught:
        data()
    assert caught.value.code == 2


def test_a_seed_without_mosaics_is_one_line(tmp_path):
    with pytest.raises(UserError, match="--seed 5: there are no mosaics without --mosaics; leave it out"):
        data("pack", "--images", "worlds:2", "--out", tmp_path / "out", "--seed", 5)
    assert not (tmp_path / "out").exists()
