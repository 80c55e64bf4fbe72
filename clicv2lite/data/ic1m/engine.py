"""img2dataset as the engine that downloads: in an environment of its own, as a process of its own.

Its release 1.47 wants pandas 2 and a Python below 3.13, so it cannot live beside this package. Its distributors pass
through: `multiprocessing` on this machine, `pyspark` or `ray` on many, which then share the output folder. It leaves out
what a site marks as `noai`, `noimageai`, `noindex` or `noimageindex`, and its user agent says `clicv2lite`. Each address is
fetched by `guard`, which runs in that environment.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock

from clicv2lite.data.cache import cache_dir
from clicv2lite.data.ic1m import guard
from clicv2lite.data.ic1m.guard import Limits
from clicv2lite.data.ic1m.rounds import Pace
from clicv2lite.errors import UserError, one_line
from clicv2lite.files import reason

RELEASE = "img2dataset==1.47.0"
TOO_NEW = (3, 13)  # has no imghdr, which img2dataset imports
POLL = 1.0  # seconds


@dataclass(frozen=True)
class Engine:
    """A `rounds.Downloader`: img2dataset, started anew for each round."""

    command: tuple[str, ...]
    distributor: str = "multiprocessing"

    def __call__(self, urls: Path, images: Path, pace: Pace, per_shard: int, poll: Callable[[], None]) -> None:
        """Run it to its end.

        Raises:
            UserError: if it cannot be started or writes no result.
        """
        log = urls.with_name("log.txt")
        environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "PYTHONUNBUFFERED": "1"}
        with log.open("ab") as said:
            try:
                process = subprocess.Popen(
                    [*self.command, *self.arguments(urls.resolve(), images.resolve(), pace, per_shard)],
                    **{"cwd": urls.parent, "env": environment, "stdin": subprocess.DEVNULL, "stdout": said, "stderr": said},
                    start_new_session=True,  # so that all its processes can be ended at once
                )  # type: ignore[call-overload]
            except OSError as error:
                raise UserError(f"--img2dataset {self.command[0]}: cannot be started ({reason(error)})") from None
            try:
                while process.poll() is None:
                    time.sleep(POLL)
                    poll()
            finally:
                if process.poll() is None:  # we were interrupted
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if process.returncode or not any(images.glob("*_stats.json")):
            lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            why = one_line(lines[-1].strip()) if lines else f"exit status {process.returncode}"
            hint = f"; is {self.distributor} installed beside it?" if self.distributor != "multiprocessing" else ""
            raise UserError(f"img2dataset failed ({why}){hint}; see {log}")

    def arguments(self, urls: Path, images: Path, pace: Pace, per_shard: int) -> list[str]:
        """img2dataset's options. The bytes are kept as they came: the packer decodes, checks and resizes."""
        return [
            *(f"--url_list={urls}", "--input_format=parquet", "--url_col=url", '--save_additional_columns=["number"]'),
            *(f"--output_folder={images}", "--output_format=webdataset", "--disable_all_reencoding=True"),
            *("--incremental_mode=incremental", "--compute_hash=sha256", "--extract_exif=False", "--retries=0"),
            *(f"--number_sample_per_shard={per_shard}", f"--processes_count={pace.processes}"),
            *(f"--thread_count={pace.threads}", f"--distributor={self.distributor}", "--user_agent_token=clicv2lite"),
        ]


def find_engine(option: str | None, distributor: str, limits: Limits) -> Engine:
    """img2dataset in the environment that `--img2dataset` names: by its python, its folder, or a program beside its python.

    Args:
        option: None for an environment in the cache folder, which is made if it does not exist.
        distributor: `multiprocessing`, `pyspark` or `ray`.
        limits: of each download.

    Raises:
        UserError: if there is no such thing, or the environment cannot be made.
    """
    if not hasattr(os, "killpg"):
        raise UserError("data ic1m: this system cannot end img2dataset with all its processes; use Linux, macOS or WSL")
    python = _environment(distributor) if option is None else _python(option)
    return Engine((python, str(guard.__file__), json.dumps(asdict(limits))), distributor)


def _python(option: str) -> str:
    path = shutil.which(option) if os.sep not in option else option
    if path is None or not os.path.exists(path):
        raise UserError(f"--img2dataset {option}: there is no such program or folder; name a python that has img2dataset")
    path = os.path.abspath(path)  # not resolved: a virtual environment's python is a link
    if re.match(r"python[\d.]*$", os.path.basename(path)) and not os.path.isdir(path):
        return path
    python = os.path.join(path, "bin", "python") if os.path.isdir(path) else os.path.join(os.path.dirname(path), "python")
    if not os.path.exists(python):
        raise UserError(f"--img2dataset {option}: no virtual environment (there is no {python})")
    return python


def _environment(distributor: str) -> str:
    """The python of the environment in the cache folder, made at the first call."""
    wanted = [RELEASE, *([distributor] if distributor != "multiprocessing" else [])]
    folder = cache_dir() / "-".join(["img2dataset-1.47.0", *wanted[1:]])
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return str(python)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock", timeout=0):
            print(f"making an environment for img2dataset in {folder}", file=sys.stderr)
            _make(folder, python, wanted)
            ready.touch()
    except filelock.Timeout:
        raise UserError(f"{folder}: another process is making this environment; wait until it is done") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({reason(error)}); set CLICV2LITE_CACHE to another") from None
    return str(python)


def _make(folder: Path, python: Path, wanted: list[str]) -> None:
    if uv := _uv():
        steps = [[uv, "venv", "--clear", "--python", f"<{TOO_NEW[0]}.{TOO_NEW[1]}", str(folder)]]
        steps.append([uv, "pip", "install", "--python", str(python), *wanted])
    elif sys.version_info[:2] < TOO_NEW:
        steps = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
        steps.append([str(python), "-m", "pip", "install", "--quiet", *wanted])
    else:
        raise UserError("img2dataset needs a Python below 3.13: install uv, or name one that has it with --img2dataset")
    for step in steps:
        done = subprocess.run(
            step, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        if done.returncode:
            said = [line.strip() for line in done.stdout.splitlines() if line.strip()]
            why = one_line(said[-1]) if said else f"exit status {done.returncode}"
            raise UserError(f"{folder}: img2dataset cannot be installed ({why}); install it, and name it with --img2dataset")


def _uv() -> str | None:
    if importlib.util.find_spec("uv"):
        import uv

        return str(uv.find_uv_bin())
    return shutil.which("uv")
