"""The process of the command line: a Ctrl-C before and after its command."""

import os
import signal
import subprocess
import sys

import pytest

STUBS = {
    "before": ("filelock.py", "import time; print('now', flush=True); time.sleep(600)"),
    "after": ("sitecustomize.py", "import atexit, time; atexit.register(lambda: (print('now', flush=True), time.sleep(600)))"),
}


@pytest.mark.skipif(os.name == "nt", reason="Windows sends a console's Ctrl-C to pytest, too")
@pytest.mark.parametrize("when", STUBS)
def test_a_ctrl_c_beside_the_command_ends_the_process_without_a_traceback(when, tmp_path):
    name, program = STUBS[when]
    (tmp_path / name).write_text(program)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "clicv2lite", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    for line in process.stdout:
        if line == "now\n":
            break
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "" and process.returncode == -signal.SIGINT
