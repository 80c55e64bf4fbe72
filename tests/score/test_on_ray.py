"""Two workers of a real Ray, and processes that are killed: needs the extra `ray`."""

import csv
import io
import json
import os
import secrets
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.score.columns import COLUMNS

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra ray is not installed")
pytestmark = pytest.mark.posix  # it kills

SHARDS, EACH, BROKEN = 6, 5, "000001.tar/2.png"
PATTERN = f"shards/{{000000..{SHARDS - 1:06d}}}.tar"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with six shards of five images, one of them broken."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "shards").mkdir()
    rng = np.random.default_rng(0)
    for shard in range(SHARDS):
        with tarfile.open(folder / "shards" / f"{shard:06d}.tar", "w") as tar:
            for image in range(EACH):
                data = io.BytesIO()
                Image.fromarray(rng.integers(0, 50 * (image + 1), (40, 50, 3), dtype=np.uint8)).save(data, "PNG")
                member = tarfile.TarInfo(f"{image}.png")
                content = b"broken" if f"{shard:06d}.tar/{image}.png" == BROKEN else data.getvalue()
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder


@pytest.fixture(scope="module")
def cluster():
    """What the environment says of a Ray that outlives the commands, as a cluster does: its address, and a token of its own."""
    # in a process of its own: this one stays free of Ray's threads
    code = "import ray, sys; c = ray.init('local', num_cpus=2, include_dashboard=False, object_store_memory=2**27)\n"
    code += "print('ADDRESS', c.address_info['gcs_address'], flush=True); sys.stdin.read()"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    started = {"env": {**os.environ, **token}, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen([sys.executable, "-c", code], **started) as process:
        try:
            address = next(line.split()[1] for line in process.stdout if line.startswith("ADDRESS"))
            yield {"RAY_ADDRESS": address, **token}
        finally:
            process.stdin.close()


@pytest.fixture(scope="module")
def plain(here, models):
    """The rows of the plain command: image -> its other cells, with what is empty as None."""
    before = os.getcwd()
    os.chdir(here)
    try:
        assert main(["score", PATTERN, "--csv", "plain.csv", "--model", models[0]]) == 1
    finally:
        os.chdir(before)
    with (here / "plain.csv").open(newline="", encoding="utf-8") as file:
        rows = [[cell or None for cell in row] for row in list(csv.reader(file))[1:]]
    assert len(rows) == SHARDS * EACH
    return rows


def score(here, cluster, out, model, who="nobody", die_at=""):
    """Run the command there, with two workers, as `tests/score/dying.py` runs it."""
    plan = {**cluster, "WHO": who, "DIE_AT": die_at, "MARK": str(here / f"{out}.mark")}
    words = ["score", "--engine", "ray", PATTERN, "--out", out, "--model", model, "--jobs", "2"]
    call = [sys.executable, str(Path(__file__).with_name("dying.py")), *words]
    return subprocess.run(call, cwd=here, env={**os.environ, **plan}, capture_output=True, encoding="utf-8")


def rows_of(folder):
    """Every row of every part, in the order of the parts, with numbers as the table of the plain command writes them."""
    digits = {"score": 6, "percentile": 1, "uncertainty": 3}
    found = []
    for path in sorted(folder.glob("*.parquet")):
        part = pq.read_table(path)
        assert part.column_names == COLUMNS
        for row in part.to_pylist():
            found.append(
                [f"{cell:.{digits[name]}f}" if name in digits and cell is not None else cell for name, cell in row.items()]
            )
    return found


def test_a_worker_that_is_killed_costs_no_row_and_doubles_none(here, cluster, plain, models):
    done = score(here, cluster, "one", models[0], "worker", "000003.parquet")
    assert (here / "one.mark").exists(), done.stderr
    assert rows_of(here / "one") == plain, done.stderr
    assert done.returncode == 1 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert "clicv2lite: 1 of 30 images could not be scored" in lines
    assert sum(BROKEN in line for line in lines) == 1
    told = [json.loads(line) for line in (here / "one" / "_metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(each["part"] for each in told) == [f"{i:06d}.parquet" for i in range(SHARDS)]
    summary = json.loads((here / "one" / "_summary.json").read_text(encoding="utf-8"))
    wanted = {"parts": 6, "parts_before": 0, "parts_missing": 0, "images": 30, "failed": 1, "workers": 2, "images_scored": 30}
    assert {key: summary[key] for key in wanted} == wanted
    assert pq.read_table(here / "one").num_rows == 30  # a reader of the folder passes over what we say about it


def test_after_a_killed_driver_the_same_command_scores_what_is_missing(here, cluster, plain, models):
    done = score(here, cluster, "two", models[0], "driver", "000002.parquet")  # the workers finish what they hold
    assert done.returncode == -9, done.stderr
    before = {path.name: path.stat().st_ino for path in (here / "two").glob("*.parquet")}
    assert 0 < len(before) < SHARDS
    done = score(here, cluster, "two", models[0])
    after = {path.name: path.stat().st_ino for path in (here / "two").glob("*.parquet")}
    assert {name: after[name] for name in before} == before
    assert rows_of(here / "two") == plain, done.stderr
    assert done.returncode == 1 and "of 6 parts are in two already" in done.stderr
    again = score(here, {"RAY_ADDRESS": "nowhere:1"}, "two", models[0])  # nothing is left: no Ray is asked for
    assert again.returncode == 1 and "6 of 6 parts are in two already" in again.stderr
    other = score(here, {"RAY_ADDRESS": "nowhere:1"}, "two", models[1])
    assert other.returncode == 2 and other.stderr.splitlines() == [
        f"clicv2lite: {models[1]}: this model has no norms, so no percentile and no uncertainty; see clicv2lite norms --help",
        "clicv2lite: --out two: 000000.parquet is of another model or norms; name another folder",
    ]


def test_a_part_that_kills_every_worker_costs_no_other_part(here, cluster, plain, models):
    done = score(here, cluster, "three", models[0], "workers", "000002.parquet")
    assert done.returncode == 1, done.stderr
    assert "clicv2lite: 1 of 6 parts are missing, the first is 000002.parquet; the same command tries them again" in done.stderr
    assert rows_of(here / "three") == [row for row in plain if "000002.tar" not in row[0]]
