"""A notebook in JupyterLab: what is done in the page reaches Python, and what Python sets is drawn."""

import contextlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, TimeoutError, expect

from clicv2lite.extras import MissingPackage

pytest.importorskip("clicv2lite.widgets", exc_type=MissingPackage)

SLOW = 120_000  # ms: a machine at its limits needs a while to start a kernel and import torch
CELLS = [
    """
import json
from pathlib import Path
import numpy as np
from clicv2lite.widgets.leaderboard import Leaderboard
from clicv2lite.widgets.patchify import PatchifyExplorer

rng = np.random.default_rng(0)
pictures = {name: rng.integers(0, 256, (14, 14, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1) for name in "abcdefgh"}
explorer = PatchifyExplorer(pictures["a"])
board = Leaderboard(pictures, rng.random(8), {"noise": rng.random(8)})

def write(_):
    seen = {"seed": explorer.seed, "overrides": explorer.overrides, "order": board.order, "revealed": board.revealed}
    Path("part.json").write_text(json.dumps(seen))
    Path("part.json").replace("seen.json")

for widget in (explorer, board):
    widget.observe(write)
write(None)
explorer
""",
    "board",
    """
explorer.max_shift = 3
explorer.augment = True
board.order = sorted(board.order)
np.save("query.npy", explorer.result().query)
""",
]


def notebook(path: Path, cells: list[str]) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip()) for source in cells])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)


def run_cell(page: Page, number: int) -> None:
    cell, dialog, asked = page.locator(".jp-Notebook .jp-CodeCell").nth(number), page.locator("dialog.jp-Dialog"), []
    for _ in range(20):  # JupyterLab says idle, and forgets what it is told, until it has heard of the kernel
        with contextlib.suppress(AssertionError, TimeoutError):
            if dialog.count():  # told too early, it may ask which kernel: what it proposes is the notebook's own
                asked.append(dialog.first.inner_text())
                dialog.first.locator(".jp-mod-accept").first.click(timeout=5000)
            cell.locator(".cm-content").click(timeout=5000)
            page.keyboard.press("Shift+Enter")
            return expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[(\*|\d+)\]"), timeout=5000)
    raise AssertionError(f"cell {number} does not run; JupyterLab asked: {asked}")


def until(read: Callable[[], Any], want: Any, seconds: float = 120) -> None:
    """Wait until a value is what is wanted: a comm message takes a moment."""
    end = time.monotonic() + seconds
    while (got := read()) != want and time.monotonic() < end:
        time.sleep(0.1)
    assert got == want


def colours(canvas: Locator) -> list[int]:
    """RGB of each pixel of the canvas, row by row."""
    return canvas.evaluate("""canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return Array.from(data).filter((_, i) => i % 4 < 3);
    }""")


def test_page_and_python_answer_each_other(visit, lab):
    folder, address = lab
    notebook(folder / "play.ipynb", CELLS)
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 2400})  # all cells in sight: JupyterLab draws no others
    page.set_default_timeout(SLOW)
    page.goto(f"{address}/doc/tree/play.ipynb")
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
    explorer, board = page.get_by_role("group", name="Shifted patchify"), page.get_by_role("group", name="leaderboard")
    for cell, widget in enumerate([explorer, board]):
        run_cell(page, cell)
        widget.wait_for()

    def seen() -> dict[str, Any]:
        return json.loads((folder / "seen.json").read_text())

    # from the page to Python: a slider, a key on a patch, a key and a click in the list
    order = seen()["order"]
    explorer.get_by_role("slider", name="Seed").press("ArrowRight")
    explorer.get_by_role("application").press("ArrowRight")
    explorer.get_by_role("application").press("4")
    board.get_by_role("button", name=re.compile(f"^{order[0]}, place")).press("ArrowDown")
    board.get_by_role("button", name="Compare").click()
    order = [order[1], order[0], *order[2:]]
    until(seen, {"seed": 1, "overrides": {"query:0": 3}, "order": order, "revealed": True})

    # from Python to the page, where the query view is the package's own
    before = colours(explorer.locator("canvas").first)
    run_cell(page, 2)
    expect(board.locator(".leaderboard-handle span")).to_have_text(sorted(order), timeout=SLOW)
    expect(explorer.locator(".explorer-summary")).to_contain_text("each moved by 1 to 3\u00a0px", timeout=SLOW)
    until(lambda: (folder / "query.npy").exists(), True)
    want = np.load(folder / "query.npy").ravel().tolist()
    assert want != before
    until(lambda: colours(explorer.locator("canvas").first) == want, True)
    assert not visit.outside
