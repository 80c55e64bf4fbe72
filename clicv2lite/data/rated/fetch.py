"""Get some folders of a public git repository, one folder at a time, so that an interrupted fetch can continue.

A shallow clone without file contents (depth 1, `--filter=blob:none`) costs little; then the contents of each folder are
asked for, and what has arrived is kept. History and other folders are never transferred. git runs no program of the user's
or the repository's (hooks, filters, password dialogs), speaks no other protocol than https, http, ssh and file, and is ended
when it says nothing for a while: a server may be silent for ever.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from clicv2lite.errors import UserError, one_line
from clicv2lite.files import reason, remove_leftovers, write_json
from clicv2lite.outputs import locked

STATE = ".fetch.json"  # {"url", "commit"}; commit is null until everything is there
OURS = (".fetch", "..fetch")  # how our files begin, and what a stopped write leaves of them
FETCH = (
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),  # give up after a minute below 1 kB/s
    *("-c", "fetch.negotiationAlgorithm=noop"),  # what is asked for is known to be missing
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),  # nothing may go on in the background
    *("fetch", "--progress", "--no-tags", "--filter=blob:none"),
)
PLAIN = (  # before any command
    *("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false"),
    *("-c", "credential.helper=", "-c", "core.askPass="),  # a public repository needs no password
)
BYTES = (
    "* -text -filter -ident -working-tree-encoding\n"  # attributes: files are what was committed, whatever the repository says
)
SETTINGS = {
    **{"GIT_ALLOW_PROTOCOL": "https:http:ssh:file", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=60"},
    **{"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},  # never ask for a password; errors in English
}
MOST_LINES = 1000  # that are kept of what git says
IDLE, LONGEST = 300.0, 6 * 3600.0  # seconds that git may say nothing, and that one command of it may take
ELSEWHERE = (  # set inside a git hook, these would send git to another repository
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
    *("GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_SHALLOW_FILE"),
    *("GIT_ASKPASS", "SSH_ASKPASS", "GIT_SSH", "GIT_PROXY_COMMAND", "GIT_EXTERNAL_DIFF"),  # programs
)
PROGRESS = re.compile(r"(remote: )?[A-Z][a-z]+ [a-z]+: +\d")  # "Receiving objects:  45% (9/20)"


def fetch_folders(url: str, folders: Sequence[str], target: Path, commit: str | None = None) -> str | None:
    """Fetch `folders` of the repository at `url` into `target`; returns at once if they are there.

    Args:
        url: what `git fetch` understands.
        folders: paths inside the repository, in the order in which to fetch them.
        target: made if it does not exist. A folder that holds all `folders` from elsewhere is used as it is.
        commit: its full hash, which git compares with what arrives; None for the newest of the default branch.

    Returns:
        The commit that `target` holds; None if it came from elsewhere.

    Raises:
        UserError: if git is missing or fails, if another process is fetching, or if `target` holds something else.
    """
    if commit is not None and not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise UserError(f"--commit {commit}: give the whole hash of a commit, 40 digits of 0-9 and a-f")
    url = os.path.abspath(url) if os.path.exists(url) else url  # git will run in another folder
    state = _state(target)
    if state is None and target.is_dir() and any(not path.name.startswith(OURS) for path in target.iterdir()):
        if commit is None and all((target / folder).is_dir() for folder in folders):
            return None
        raise UserError(f"{target}: the folder is not empty and holds no copy of {url}; choose another with --out")
    if state is not None and state["commit"]:
        if state["url"] != url:
            raise UserError(f"{target}: this is a copy of {state['url']}; choose another folder with --out, or remove it")
        if commit not in (None, state["commit"]):
            raise UserError(f"{target}: this is commit {state['commit']}, not {commit}; choose another folder with --out")
        if any((target / folder).is_dir() for folder in folders):
            return state["commit"]
        commit = state["commit"]  # what was fetched has been removed since
    try:
        target.mkdir(parents=True, exist_ok=True)
        with locked(target, folder=True, lock=".fetch.lock"):
            remove_leftovers(target, STATE.__eq__)
            if state is not None and state["url"] != url:  # a fetch from another address cannot be continued
                shutil.rmtree(target / ".git", ignore_errors=True)
            write_json(target / STATE, {"url": url, "commit": None})
            found = _fetch(url, folders, target, commit)
            write_json(target / STATE, {"url": url, "commit": found})
            shutil.rmtree(target / ".git", ignore_errors=True)  # a second copy of every file
            return found
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({reason(error)}); choose another with --out") from None


def _fetch(url: str, folders: Sequence[str], target: Path, wanted: str | None) -> str:
    _run(["init", "--quiet", "--template=", "."], url, target)
    (target / ".git/info").mkdir(exist_ok=True)
    (target / ".git/info/attributes").write_bytes(BYTES.encode())
    for pattern in ("*.lock", "tmp_*"):  # what a killed git leaves behind; our own lock says that none is running
        for leftover in (target / ".git").rglob(pattern):
            leftover.unlink()
    _run(["config", "remote.origin.url", url], url, target)
    _run([*FETCH, "--depth=1", "origin", wanted or "HEAD"], url, target)
    commit = _run(["rev-parse", "FETCH_HEAD"], url, target).strip()
    _run(["update-ref", "--no-deref", "HEAD", commit], url, target)
    here = [folder for folder in folders if _run(["ls-tree", "-d", commit, "--", folder], url, target)]
    if not here:
        raise UserError(f"{url}: this repository has no folder {folders[0]}; check the address")
    for folder in here:
        listed = _run(["rev-list", "--objects", "--no-walk", "--missing=print", commit, "--", folder], url, target)
        missing = [line[1:] for line in listed.splitlines() if line.startswith("?")]
        if missing:
            print(f"{folder}: {len(missing)} files", file=sys.stderr)
            _run([*FETCH, "--no-write-fetch-head", "--stdin", "origin"], url, target, "\n".join(missing) + "\n")
    _run(["-c", "core.symlinks=false", "checkout", "--quiet", commit, "--", *here], url, target)
    return commit


def _run(arguments: list[str], url: str, target: Path, given: str = "") -> str:
    """Run git in `target`; its progress goes to stderr as it comes, its errors into the one line of a UserError."""
    environment = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    said: list[str] = []
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
        stdin.write(given.encode())
        stdin.seek(0)
        try:
            git = subprocess.Popen(
                ["git", *PLAIN, *arguments], cwd=target, env=environment | SETTINGS, stdin=stdin, stdout=stdout,
                stderr=subprocess.PIPE, start_new_session=True,  # so that its helpers can be ended with it
            )  # fmt: skip
        except FileNotFoundError:
            raise UserError(f"{url}: git is needed to fetch it and is not installed; install git") from None
        with git:
            try:
                silent = _listen(git, said)
            except BaseException:
                _end(git)
                raise
        if silent:
            raise UserError(
                f"{url}: {silent}; check the address and the network, and run the command again: it goes on from here"
            )
        if git.returncode:
            fatal = [line.partition(": ")[2] for line in said if line.startswith(("fatal: ", "error: "))]
            why = one_line((fatal or said or [f"exit status {git.returncode}"])[0])
            raise UserError(
                f"{url}: git could not fetch it ({why}); check the address, the network and the disk, and run the"
                " command again: it goes on from here"
            )
        stdout.seek(0)
        return stdout.read().decode("utf-8", "replace")


def _listen(git: subprocess.Popen[bytes], said: list[str]) -> str:
    """Show and collect what git says, until it ends or is ended; returns why it was ended, or nothing."""
    assert git.stderr is not None
    rest, shown, began, why = b"", False, time.monotonic(), ""
    heard, over = began, threading.Event()

    def watch() -> None:
        nonlocal why
        while not over.wait(min(1.0, IDLE / 4)):
            now = time.monotonic()
            if now - heard > IDLE or now - began > LONGEST:
                why = f"git said nothing for {IDLE:g} s" if now - heard > IDLE else f"git took more than {LONGEST:g} s"
                return _end(git)

    threading.Thread(target=watch, daemon=True).start()
    try:
        while chunk := os.read(git.stderr.fileno(), 65536):
            heard = time.monotonic()
            *lines, rest = re.split(rb"(?<=[\r\n])", rest[-65536:] + chunk)
            for line in (line.decode("utf-8", "replace") for line in lines):
                if PROGRESS.match(line):
                    sys.stderr.write(re.sub(r"[^ -~\r\n]", "?", line))  # a server's words are no commands to a terminal
                    sys.stderr.flush()
                    shown = not line.endswith("\n")
                elif line.strip() and len(said) < MOST_LINES:
                    said.append(line.strip())
    finally:
        over.set()
    if rest.strip():
        said.append(rest.decode("utf-8", "replace").strip())
    if shown:
        sys.stderr.write("\n")
    return why


def _end(git: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(git.pid, signal.SIGTERM)
    else:
        git.terminate()


def _state(target: Path) -> dict[str, str | None] | None:
    try:
        state = json.loads((target / STATE).read_text(encoding="utf-8"))
        return {"url": state["url"], "commit": state["commit"]}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{target / STATE}: unreadable; remove the folder {target} and run the command again") from None
