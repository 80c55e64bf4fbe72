"""The widgets' own scripts, run by node: a test calls their functions as if they were Python's."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clicv2lite.extras import MissingPackage

MODULES = {
    "circle": "CircleExplorer",
    "crops": "CropPairs",
    "history": "HistoryExplorer",
    "leaderboard": "Leaderboard",
    "maps": "MapExplorer",
    "mask": "MaskExplorer",
    "patchify": "PatchifyExplorer",
    "similarity": "SimilarityExplorer",
    "tokens": "TokenExplorer",
    "training_step": "TrainingStep",
}
DRIVER = """
import readline from "node:readline";
const functions = Object.assign({}, ...await Promise.all(process.argv.slice(2).map((path) => import(path))));
const receive = (_, v) => (v?.bytes === undefined ? v : new Uint8Array(Buffer.from(v.bytes, "base64")));
const answer = (_, v) => (v instanceof Uint8ClampedArray ? { bytes: Buffer.from(v).toString("base64") }
  : ArrayBuffer.isView(v) ? Array.from(v) : v);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...given] = JSON.parse(line, receive);
  console.log(JSON.stringify(functions[name](...given), answer));
}
"""


def _send(value: object) -> object:
    if isinstance(value, bytes | memoryview):
        return {"bytes": base64.b64encode(value).decode()}
    raise TypeError(type(value))


def _receive(value: dict) -> Any:
    return np.frombuffer(base64.b64decode(value["bytes"]), np.uint8) if value.keys() == {"bytes"} else value


@pytest.fixture(scope="session")
def script(tmp_path_factory) -> Iterator[Callable[..., Any]]:
    """script(name, *arguments) calls a function that a widget's script exports; bytes become Uint8Array."""
    widgets = [pytest.importorskip(f"clicv2lite.widgets.{name}", exc_type=MissingPackage) for name in MODULES]
    if not shutil.which("node"):
        pytest.skip("node is not installed: the scripts cannot run outside a browser")
    folder: Path = tmp_path_factory.mktemp("scripts")
    (folder / "driver.mjs").write_text(DRIVER)
    classes = [getattr(module, name) for module, name in zip(widgets, MODULES.values(), strict=True)]
    modules = [f"./{name}.mjs" for name in MODULES]
    for widget, module in zip(classes, modules, strict=True):
        (folder / module).write_text(widget._esm)  # the very text that a page gets
    command = ["node", "driver.mjs", *modules]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdin and node.stdout

        def call(name: str, *arguments: object) -> Any:
            assert node.stdin and node.stdout
            print(json.dumps([name, *arguments], default=_send), file=node.stdin, flush=True)
            line = node.stdout.readline()
            assert line, f"{name} failed in node: see standard error"
            return json.loads(line, object_hook=_receive)

        yield call
        node.stdin.close()
