import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import filelock
import pytest

from clicv2lite.data.cache import cache_dir
from clicv2lite.data.rated import fetch
from clicv2lite.data.rated.fetch import fetch_folders
from clicv2lite.errors import UserError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FOLDERS = ("Tables/x", "Images/A", "Images/B b")
FILES = {
    **{f"Images/{folder}/{i}.jpg": os.urandom(3000) for folder in ("A", "B b") for i in range(3)},
    "Tables/x/t.txt": b"scores",
}
OTHERS = {"Tables/npy/t.npy": b"pickle", "old/big": os.urandom(50_000), "README.md": b"hello"}


def git(*arguments: str, cwd: Path) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module", params=["partial", "full"])
def url(request, tmp_path_factory) -> str:
    """A bare repository, on a server that can leave contents out (as public hosts do) and on one that cannot."""
    root = tmp_path_factory.mktemp(request.param)
    work = root / "work"
    for name, data in {**FILES, **OTHERS}.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    git("init", cwd=work)
    git("add", ".", cwd=work)
    git("commit", "-m", "data", cwd=work)
    git("clone", "--bare", str(work), str(root / "bare.git"), cwd=root)
    if request.param == "partial":
        git("config", "uploadpack.allowFilter", "true", cwd=root / "bare.git")
    return (root / "bare.git").as_uri()


def contents(target: Path) -> dict[str, bytes]:
    files = [path for path in target.rglob("*") if path.is_file() and not path.name.startswith(".fetch")]
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in files}


def replace_git(monkeypatch, folder: Path, script: str) -> None:
    """Put a script before git on the path; $GIT is the real one."""
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\nGIT={shutil.which('git')}\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_only_the_folders_arrive_and_progress_is_shown(url, tmp_path, capsys):
    fetch_folders(url, FOLDERS, tmp_path / "t")
    assert contents(tmp_path / "t") == FILES
    said = capsys.readouterr()
    assert "Receiving objects: 100%" in said.err and said.out == ""


def test_a_finished_fetch_needs_neither_git_nor_the_repository_again(url, tmp_path, monkeypatch):
    fetch_folders(url, FOLDERS, tmp_path / "t")
    monkeypatch.setenv("PATH", "")
    fetch_folders(url, FOLDERS, tmp_path / "t")


def test_folders_that_were_removed_are_fetched_again_from_the_same_commit(url, tmp_path):
    commit = fetch_folders(url, FOLDERS, tmp_path / "t")
    for folder in ("Images", "Tables"):
        shutil.rmtree(tmp_path / "t" / folder)
    assert fetch_folders(url, FOLDERS, tmp_path / "t") == commit and contents(tmp_path / "t") == FILES


@pytest.mark.parametrize("step", range(1, 13, 2))
def test_a_killed_fetch_goes_on(url, tmp_path, step, monkeypatch):
    """git is killed at its call number `step`, leaving locks and a broken pack; the next run finishes."""
    target, count = tmp_path / "t", tmp_path / "count"
    with monkeypatch.context() as patch:
        replace_git(
            patch,
            tmp_path / "bin",
            f"""echo x >> '{count}'
            if [ $(wc -l < '{count}') -eq {step} ]; then
                mkdir -p .git/objects/pack; touch .git/index.lock .git/shallow.lock .git/objects/pack/tmp_pack_x
                kill -9 $$
            fi
            exec "$GIT" "$@" """,
        )
        try:
            fetch_folders(url, FOLDERS, target)
        except UserError as error:
            assert "\n" not in str(error) and url in str(error)
        else:
            assert len(count.read_text().split()) < step  # it needed fewer calls
    fetch_folders(url, FOLDERS, target)
    assert contents(target) == FILES


def test_what_had_arrived_is_not_fetched_again(tmp_path, url, monkeypatch, capsys):
    partial = "partial" in url  # the other server sends everything at once
    with monkeypatch.context() as patch:
        replace_git(patch, tmp_path / "bin", 'case "$*" in *" rev-list "*"-- Images/B b") exit 1;; esac; exec "$GIT" "$@"')
        with pytest.raises(UserError, match="exit status 1"):
            fetch_folders(url, FOLDERS, tmp_path / "t")
    assert ("Images/A: 3 files" in capsys.readouterr().err) == partial
    fetch_folders(url, FOLDERS, tmp_path / "t")
    again = capsys.readouterr().err
    assert ("Images/B b: 3 files" in again) == partial and "Images/A" not in again
    assert contents(tmp_path / "t") == FILES


def test_an_unreachable_address_is_one_clear_line_and_another_may_follow(url, tmp_path, capsys):
    wrong = (tmp_path / "none.git").as_uri()
    with pytest.raises(UserError) as caught:
        fetch_folders(wrong, FOLDERS, tmp_path / "t")
    line = str(caught.value)
    assert line.startswith(f"{wrong}: git could not fetch it (") and "does not appear to be a git repository" in line
    assert "\n" not in line and capsys.readouterr().err == ""
    fetch_folders(url, FOLDERS, tmp_path / "t")
    assert contents(tmp_path / "t") == FILES


def test_an_address_that_looks_like_an_option_is_none(tmp_path):
    with pytest.raises(UserError):
        fetch_folders(f"--upload-pack=touch {tmp_path}/evil", FOLDERS, tmp_path / "t")
    assert not (tmp_path / "evil").exists()


def test_a_repository_without_the_folders_is_refused(url, tmp_path):
    with pytest.raises(UserError, match="has no folder Nowhere"):
        fetch_folders(url, ["Nowhere"], tmp_path / "t")
    fetch_folders(url, ["Nowhere", "Images/A"], tmp_path / "u")  # some is enough
    assert len(contents(tmp_path / "u")) == 3


def test_a_folder_with_something_else_is_left_alone(url, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        fetch_folders(url, FOLDERS, tmp_path)
    assert os.listdir(tmp_path) == ["mine.txt"]
    with pytest.raises(UserError, match=r"cannot be written"):
        fetch_folders(url, FOLDERS, tmp_path / "mine.txt/t")


def test_a_folder_that_holds_the_data_already_is_used(tmp_path, monkeypatch):
    for folder in FOLDERS:
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("PATH", "")
    fetch_folders("file:///nowhere", FOLDERS, tmp_path)


def test_a_copy_of_another_repository_is_not_mixed_with_this_one(url, tmp_path):
    fetch_folders(url, FOLDERS, tmp_path / "t")
    with pytest.raises(UserError, match=f"a copy of {url}"):
        fetch_folders("file:///other", FOLDERS, tmp_path / "t")


def test_a_file_that_is_not_ours_is_noticed_and_what_a_stopped_write_left_is_not(url, tmp_path):
    (tmp_path / "..fetch.json.1.tmp").touch()
    fetch_folders(url, FOLDERS, tmp_path)
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "fetched by hand").touch()
    with pytest.raises(UserError, match="the folder is not empty"):
        fetch_folders(url, FOLDERS, tmp_path / "t")


def test_two_at_once_are_refused(url, tmp_path):
    (tmp_path / "t").mkdir()
    with filelock.FileLock(tmp_path / "t/.fetch.lock"), pytest.raises(UserError, match="another process"):
        fetch_folders(url, FOLDERS, tmp_path / "t")


def test_git_variables_of_a_hook_do_not_mislead(url, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere/index"))
    fetch_folders(url, FOLDERS, tmp_path / "t")
    assert contents(tmp_path / "t") == FILES and not (tmp_path / "elsewhere").exists()


def test_without_git_one_line_says_so(url, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is needed"):
        fetch_folders(url, FOLDERS, tmp_path / "t")


def test_an_interrupt_stops_git_too(url, tmp_path, monkeypatch):
    replace_git(monkeypatch, tmp_path / "bin", f"echo $$ > {tmp_path}/id; exec sleep 600")

    def interrupted(*_):
        while not (tmp_path / "id").exists() or not (tmp_path / "id").read_text().endswith("\n"):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "_listen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_folders(url, FOLDERS, tmp_path / "t")
    with pytest.raises(ProcessLookupError):  # it was ended, and waited for
        os.kill(int((tmp_path / "id").read_text()), 0)


@pytest.mark.parametrize("scheme", ["git", "ext", "ftp"])
def test_other_protocols_are_refused_before_anything_is_opened(scheme, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"127.0.0.1:{server.getsockname()[1]}/x"
        url = f"ext::touch {tmp_path}/evil" if scheme == "ext" else f"{scheme}://{address}"
        with pytest.raises(UserError, match="git could not fetch it") as caught:
            fetch_folders(url, FOLDERS, tmp_path / "t")
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "not allowed" in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path / "evil").exists()


def test_a_server_that_says_nothing_is_left(tmp_path, monkeypatch):
    """It takes the connection and is silent for ever; git and the helper that waits for it are ended."""
    monkeypatch.setattr(fetch, "IDLE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.git"
        with pytest.raises(UserError, match=r"git said nothing for 0\.5 s; check the address and the network, and run"):
            fetch_folders(url, FOLDERS, tmp_path / "t")
        server.accept()[0].close()


def test_a_server_that_never_ends_is_left(url, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "LONGEST", 0.5)
    monkeypatch.setattr(fetch, "IDLE", 1.0)
    replace_git(monkeypatch, tmp_path / "bin", "while true; do echo 'Receiving objects: 1% (1/9)' >&2; sleep 0.02; done")
    with pytest.raises(UserError, match=r"git took more than 0\.5 s"):
        fetch_folders(url, FOLDERS, tmp_path / "t")


def test_no_program_of_the_users_or_the_repositorys_runs(tmp_path, monkeypatch):
    """Hooks, filters, credential and askpass helpers, file monitors: all would leave a file `ran`."""
    work, ran = tmp_path / "work", tmp_path / "ran"
    (work / "Images").mkdir(parents=True)
    (work / "Images/a.txt").write_bytes(b"one\n$Id$\n")
    (work / "Images/.gitattributes").write_text("* filter=evil text eol=crlf ident\n")
    (tmp_path / "hooks").mkdir()
    program = tmp_path / "hooks/program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (tmp_path / "hooks" / hook).symlink_to(program)
    git("init", cwd=work)
    git("add", ".", cwd=work)
    git("commit", "-m", "data", cwd=work)
    ran.unlink(missing_ok=True)
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"[core]\nhooksPath = {tmp_path}/hooks\nfsmonitor = {program}\naskPass = {program}\nautocrlf = true\n"
        f'[filter "evil"]\nsmudge = {program}\nrequired = true\n[credential]\nhelper = {program}\n'
        f'[init]\ntemplateDir = {tmp_path}\n[protocol "ext"]\nallow = always\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_ASKPASS", str(program))
    assert fetch_folders(work.as_uri(), ["Images"], tmp_path / "t") is not None
    assert (tmp_path / "t/Images/a.txt").read_bytes() == b"one\n$Id$\n" and not ran.exists()


def test_what_a_server_says_is_no_command_to_a_terminal(url, tmp_path, monkeypatch, capsys):
    script = """printf 'remote: Counting objects: 1\\033]0;evil\\007\\n' >&2; exec "$GIT" "$@" """
    replace_git(monkeypatch, tmp_path / "bin", script)
    fetch_folders(url, FOLDERS, tmp_path / "t")
    said = capsys.readouterr().err
    assert "remote: Counting objects: 1?]0;evil?\n" in said and "\033" not in said


def test_an_unreadable_state_is_one_line(url, tmp_path):
    (tmp_path / ".fetch.json").write_text('{"url":')
    with pytest.raises(UserError, match="unreadable"):
        fetch_folders(url, FOLDERS, tmp_path)


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICV2LITE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    for unset in ("", None):
        monkeypatch.setenv("CLICV2LITE_CACHE", unset) if unset == "" else monkeypatch.delenv("CLICV2LITE_CACHE")
        assert "clicv2lite" in cache_dir().parts
