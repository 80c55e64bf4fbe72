"""`score --engine ray`: the same scores from every core or GPU of one machine, or of many (book chapter 12).

Ray Data hands one part after the other to a pool of workers. A worker loads the model once, scores a part with the code that
the plain command runs, and writes it. A part whose worker dies is given to a worker again, and gives the same file.
"""

import argparse
import json
import logging
import os
import pickle
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clicv2lite.device import cores
from clicv2lite.errors import UserError, one_line
from clicv2lite.extras import extra, need
from clicv2lite.files import put_json, reason
from clicv2lite.lines import Notes, progress, say
from clicv2lite.models.model import load_model
from clicv2lite.models.norms import Norms
from clicv2lite.provenance import stamped
from clicv2lite.score.meaning import choose_norms, say_meaning
from clicv2lite.score.parts import Part, finished, identity, plan, write_part
from clicv2lite.score.scoring import score_rows

RETRIES = 2  # a part whose worker dies is begun again so often: an image may be what kills it
SHOWN = 10  # errors of a part that are told: all of them are in it
OBJECTS = 128 * 2**20  # bytes of shared memory that Ray takes on one machine: names of parts are all that passes through it
METRICS, SUMMARY = "_metrics.jsonl", "_summary.json"  # readers of a folder of Parquet files pass over what begins with _


@dataclass(frozen=True)
class Worker:
    """What each worker is, and does."""

    device: str
    needs: dict[str, float]  # of Ray's resources
    threads: int  # that read and encode
    batch_size: int
    model: str
    norms: Norms | None
    identity: str
    folder: str  # names of images and models are relative to it


class Scorer:
    """A worker of Ray: one model in one process."""

    def __init__(self, worker: Worker) -> None:
        os.chdir(worker.folder)
        if worker.device == "cpu":
            torch.set_num_threads(worker.threads)
        self.worker, self.model = worker, load_model(worker.model, worker.device)

    def __call__(self, item: dict[str, Any]) -> dict[str, str]:
        """Score a part and write it; what came of it as JSON, for `_tell`."""
        part: Part = pickle.loads(item["part"])
        began = time.perf_counter()
        told: dict[str, Any] = {"part": part.path.name, "source": part.source}
        try:
            part = part.opened()
            batches = score_rows(part.rows or (), self.model, self.worker.batch_size, jobs=self.worker.threads)
            scored = [row for some in batches for row in some]
        except UserError as error:  # of the whole tar
            return {"told": json.dumps({**told, "problem": str(error)})}
        if unreached := [row.error for row in scored if row.unreached]:  # a part that is written is not tried again
            return {"told": json.dumps({**told, "problem": unreached[0]})}
        errors = [row.error for row in scored if row.error is not None]
        header = {"source": part.source, "model": self.worker.identity, "images": len(scored), "failed": len(errors)}
        try:
            write_part(part, scored, self.worker.norms, header)
        except OSError as error:
            return {"told": json.dumps({**told, "stop": f"--out {part.path}: cannot be written ({reason(error)})"})}
        about = {"seconds": round(time.perf_counter() - began, 3), "host": socket.gethostname()}
        return {"told": json.dumps({**told, **header, **about, "errors": errors[:SHOWN]})}


def run_on_ray(args: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Score into `args.out` what is not there yet; 1 if an image or a part failed, else 0.

    Args:
        arguments: from `expand`.

    Raises:
        UserError: if a part cannot be planned or written, or there is no Ray or no such device.
    """
    need("ray", "ray", "pyarrow", who="--engine ray")
    began = time.perf_counter()
    parts = plan(arguments, args.out.absolute())
    model = load_model(args.model, "cpu")
    norms = choose_norms(model, args)
    say_meaning([], norms, args.model, True)
    made_by = identity(model, norms)
    held = finished(parts, args.out, made_by)
    left = [part for part in parts if part.path.name not in held]
    if held:
        say(f"{len(held)} of {len(parts)} parts are in {args.out} already")
    new: dict[str, dict[str, Any]] = {}
    workers = 0
    if left:
        with _ray(args.jobs):
            workers, device, needs, threads = _crew(args.device, args.jobs)
            worker = Worker(device, needs, threads, args.batch_size, args.model, norms, made_by, os.getcwd())
            new = _score(left, worker, workers, args.out)
    lost = [part for part in left if part.path.name not in new]
    images, failed = (sum(told[key] for told in (*held.values(), *new.values())) for key in ("images", "failed"))
    scored, seconds = sum(told["images"] for told in new.values()), time.perf_counter() - began
    counts = {"parts": len(parts), "parts_before": len(held), "parts_missing": len(lost), "images": images, "failed": failed}
    speed = {"workers": workers, "images_scored": scored, "images_per_second": round(scored / seconds, 2)}
    put_json(args.out / SUMMARY, stamped({**counts, **speed, "model": args.model, "scores_by": made_by}, began), "--out")
    say(f"{scored} images in {len(new)} parts, {scored / seconds:.1f} images a second, {workers} workers")
    if failed:
        say(f"{failed} of {images} images could not be scored")
    if lost:
        first = lost[0].path.name
        say(f"{len(lost)} of {len(parts)} parts are missing, the first is {first}; the same command tries them again")
    return 1 if failed or lost else 0


def _score(parts: Sequence[Part], worker: Worker, workers: int, out: Path) -> dict[str, dict[str, Any]]:
    """The parts that were written: name -> what their workers told."""
    with extra("ray", "--engine ray"):
        import ray.data
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a part that kills its workers costs no other part
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what failed is said in one line
    items = [{"part": pickle.dumps(part)} for part in parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that max_restarts will have another place in Ray 2.64
        done = ray.data.from_items(items, override_num_blocks=len(items)).map(
            Scorer,
            fn_constructor_args=(worker,),
            # a part in the queue of a worker that dies would lose one of its attempts, too
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(parts)), max_tasks_in_flight_per_actor=1),
            max_restarts=-1,
            max_task_retries=RETRIES,
            **worker.needs,
        )
    written: dict[str, dict[str, Any]] = {}
    began, images, failed = time.perf_counter(), 0, 0
    bar = progress(len(parts), "scoring", "part")
    with bar, closing(Notes()) as notes, _appended(out / METRICS) as metrics:
        for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
            for told in map(json.loads, batch["told"]):
                if stop := told.get("stop"):
                    raise UserError(f"{stop}; correct that, and the same command goes on")
                bar.update()
                if problem := told.get("problem"):
                    notes(one_line(problem))
                    continue
                for error in told.pop("errors"):
                    notes(error)
                written[told["part"]] = told
                images, failed = images + told["images"], failed + told["failed"]
                speed = round(images / (time.perf_counter() - began), 1)
                metrics.write(json.dumps({**told, "images_per_second": speed}) + "\n")
                metrics.flush()
                bar.set_postfix_str(f"{speed} img/s, {failed} failed", refresh=False)
    return written


@contextmanager
def _ray(jobs: int | None) -> Iterator[None]:
    """A connection to the cluster at RAY_ADDRESS, or else a Ray of this machine alone, which ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers unasked
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its lines would stand among ours
    with extra("ray", "--engine ray"):
        import ray
    where = os.environ.get("RAY_ADDRESS")
    alone = {"num_cpus": max(cores(), jobs or 0), "object_store_memory": OBJECTS, "include_dashboard": False}
    with redirect_stdout(sys.stderr):  # Ray tells of dead workers on standard output
        try:
            ray.init(where or "local", log_to_driver=False, logging_level=logging.CRITICAL, **({} if where else alone))
        except Exception as error:  # Ray raises plain ones
            advice = "try again, or start one with `ray start --head` and set RAY_ADDRESS=auto"
            if where:
                advice = "check the address, and RAY_AUTH_MODE and RAY_AUTH_TOKEN if it asks for them"
            said = " ".join(str(error).split())[:200]
            raise UserError(f"--engine ray: no Ray {f'at {where}' if where else 'starts here'} ({said}); {advice}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _crew(device: str, jobs: int | None) -> tuple[int, str, dict[str, float], int]:
    """How many workers, their device, what each needs of Ray, and its threads: one a GPU, or one a core where there is none."""
    with extra("ray", "--engine ray"):
        import ray

    total = ray.cluster_resources()
    gpus, cpus = int(total.get("GPU", 0)), int(total.get("CPU", 1))
    if device == "cuda" and not gpus:
        raise UserError("--device cuda: no machine of this Ray has a GPU; leave the option out, or write cpu")
    if device == "cpu" or not gpus:
        return jobs or cpus, "cpu", {"num_cpus": 1}, 1
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    threads = max(1, min(int(each.get("CPU", 1) // each["GPU"]) for each in machines))
    return jobs or gpus, "cuda", {"num_gpus": 1, "num_cpus": threads}, threads


@contextmanager
def _appended(path: Path) -> Iterator[Any]:
    """A text file to add lines to; a last one that was cut off stays a line of its own."""
    with path.open("a+b") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read())[1] != b"\n":
            file.write(b"\n")
    with path.open("a", encoding="utf-8", newline="\n") as lines:
        yield lines
