"""Pictures of every widget, to look at: python tests/browser/screenshots.py FOLDER

In its chapter (make book first) and in JupyterLab, in light and dark, on a screen of 1280 px and on a phone's 390 px.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from conftest import FLAGS, HTML, ROOT, jupyterlab, serve
from playwright.sync_api import Browser, Page, sync_playwright
from test_book_widgets import ACTIONS
from test_jupyterlab import SLOW, notebook, run_cell

WIDTHS = (1280, 390)
CELLS = [
    """
import numpy as np
from skimage import data
from sklearn.datasets import load_sample_images
from clicv2lite.pretrain.export import load_pretraining
from clicv2lite.widgets.leaderboard import Leaderboard
from clicv2lite.widgets.mask import MaskExplorer
from clicv2lite.widgets.patchify import PatchifyExplorer
from clicv2lite.widgets.similarity import SimilarityExplorer
pictures = {name: getattr(data, name)() for name in ("coffee", "chelsea", "astronaut", "rocket")}
pictures |= zip(("china", "flower"), load_sample_images().images)
rng = np.random.default_rng(0)
Leaderboard(pictures, rng.random(6), {"noise": rng.random(6)})
""",
    "PatchifyExplorer(pictures)",
    "SimilarityExplorer(dict(list(pictures.items())[:4]), load_pretraining())",
    "MaskExplorer(pictures, load_pretraining())",
]


def shoot(page: Page, name: str, file: Path) -> None:
    widget = page.get_by_role("group", name=name).first
    widget.scroll_into_view_if_needed()
    widget.screenshot(path=file)
    print(file)


def chapters(browser: Browser, folder: Path, scheme: str) -> None:
    for address in serve(HTML):
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 2000}, color_scheme=scheme)
            for chapter, name in ACTIONS:
                page.goto(f"{address}/book/{chapter}.html")
                page.evaluate("dispatchEvent(new Event('beforeprint'))")
                shoot(page, name, folder / f"{chapter}-page-{scheme}-{width}.png")
            page.close()


def lab(browser: Browser, folder: Path, scheme: str) -> None:
    with tempfile.TemporaryDirectory() as name, jupyterlab(Path(name), Path(name) / ".own", scheme == "dark") as address:
        notebook(Path(name) / "widgets.ipynb", CELLS)
        page = browser.new_page(viewport={"width": WIDTHS[0], "height": 6000}, color_scheme=scheme)
        page.set_default_timeout(SLOW)
        page.goto(f"{address}/doc/tree/widgets.ipynb")
        page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
        for cell, (_, title) in enumerate(ACTIONS):
            run_cell(page, cell)
            page.get_by_role("group", name=title).wait_for()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 6000})
            for chapter, title in ACTIONS:
                shoot(page, title, folder / f"{chapter}-lab-{scheme}-{width}.png")
        page.close()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chromium = subprocess.run([Path(__file__).with_name("chromium.sh")], cwd=ROOT, capture_output=True, text=True, check=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.stdout.strip(), args=FLAGS)
        for scheme in ("light", "dark"):
            chapters(browser, folder, scheme)
            lab(browser, folder, scheme)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
