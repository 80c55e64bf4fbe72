"""Kill ranks of one training at random moments, many times: the weights must be those of a training that nothing disturbed.

python tests/pretrain/soak.py --kills 30 --json data/results/soak.json
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))
from clicv2lite.files import put_json
from clicv2lite.pretrain.log import read_log
from clicv2lite.provenance import provenance

RECIPE = ["--recipe", "ci", "--images", "worlds:80:5", "--device", "cpu", "--resume"]
ENCODER = "encoder.safetensors"
SETTINGS = ["batch=16", "save_every=5", "log_every=5"]


def launch(out: Path, restarts: int, passes: int) -> subprocess.Popen[bytes]:
    """Two ranks under torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [*torchrun, f"--max-restarts={restarts}", "-m", "clicv2lite", "pretrain", *RECIPE, "--out", str(out)]
    log = (out.parent / f"{out.name}.log").open("ab")
    return subprocess.Popen([*words, "--set", *SETTINGS, f"passes={passes}"], stdout=log, stderr=log)


def logged(out: Path) -> int:
    """The last step in the log of a run."""
    return int((read_log(out / "metrics.jsonl") or [{"step": 0}])[-1]["step"])


def wait_for_others(ranks: list[psutil.Process]) -> None:
    """Wait until torchrun has ended the other ranks, so that the next kill is of the next attempt."""
    psutil.wait_procs(ranks, timeout=60)


def main() -> int:
    """Run both trainings, compare, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--passes", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    chance, began = random.Random(args.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder) / "whole", Path(folder) / "cut"
        if launch(whole, 0, args.passes).wait():
            print((Path(folder) / "whole.log").read_text()[-3000:])
            return 1
        launcher, victims, at = launch(cut, args.kills, args.passes), [], []
        while len(victims) < args.kills and launcher.poll() is None:
            began_at = logged(cut)
            if chance.random() < 0.2:  # while they start: most of that is importing torch
                time.sleep(chance.uniform(1, 8))
            else:  # while they train, at any point between two rows of the log
                further = chance.randint(5, 35)
                while logged(cut) < began_at + further and launcher.poll() is None:
                    time.sleep(0.005)
                time.sleep(chance.uniform(0, 0.2))
            if launcher.poll() is not None:
                break  # it has come to its end before the last kill: give it more passes
            ranks = [p for p in psutil.Process(launcher.pid).children() if "RANK" in p.environ()]
            if ranks:
                victim = chance.choice(ranks)
                victims.append(int(victim.environ()["RANK"]))
                victim.kill()
                at.append(logged(cut))
                wait_for_others(ranks)
        status = launcher.wait()
        same = status == 0 and (whole / ENCODER).read_bytes() == (cut / ENCODER).read_bytes()
        if status:
            print((Path(folder) / "cut.log").read_text()[-3000:])
    result = {
        "kills": len(victims), "of_rank_0": victims.count(0), "logged_step_at_each_kill": at, "steps": args.passes // 16,
        "byte_equal": same, "status": status, "seconds": round(time.monotonic() - began), "seed": args.seed, **provenance(),
        "command": f"python tests/pretrain/soak.py --kills {args.kills} --passes {args.passes} --seed {args.seed}",
    }  # fmt: skip
    put_json(args.json, result)
    print(f"{len(victims)} kills, weights byte-equal: {same}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
