"""TokenExplorer on a page without a kernel: mouse, keys and a finger choose a patch, and its cosines are drawn."""

import base64
import re

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from clicv2lite.extras import MissingPackage
from tests.browser.test_new_widgets import PICTURES, PIXELS, number, show

pytest.importorskip("clicv2lite.widgets", exc_type=MissingPackage)

from matplotlib import colormaps

from clicv2lite.models.by_name import load_encoder
from clicv2lite.widgets.tokens import TokenExplorer


@pytest.fixture(scope="module")
def widget() -> TokenExplorer:
    return TokenExplorer(dict(list(PICTURES.items())[:2]), load_encoder("random"), side=128, place=9)  # 8 x 8 patches


def assert_chosen(shown: Locator, widget: TokenExplorer, k: int) -> None:
    """The words name patch k, and the second panel has its cosines in colours."""
    result = widget.result()
    others = np.delete(result.cosines[k], k)
    words = f"Row {k // 8 + 1}, column {k % 8 + 1}: likeness {number(result.likeness.ravel()[k])}; "
    words += f"{(others > 0.8).sum()} of 63 cosines above 0.8, the largest {number(others.max())}, to row "
    expect(shown.locator(".explorer-reading")).to_have_text(re.compile(re.escape(words)))
    drawn = np.frombuffer(base64.b64decode(shown.locator("canvas").nth(1).evaluate(PIXELS)), np.uint8)
    cells = drawn.reshape(8, 16, 8, 16, 4)[:, 8, :, 8].reshape(64, 4)
    want = 255 * colormaps["plasma"](np.clip((result.cosines[k] + 0.5) / 1.5, 0, 1))
    assert np.abs(cells - want).max() <= 6  # the page has 25 steps of the palette


def test_mouse_and_keys_choose_the_patch_whose_cosines_are_drawn(visit, folder_server, widget):
    shown = show(visit.page, *folder_server, widget)
    assert_chosen(shown, widget, 9)
    frame = shown.get_by_role("application", name="Picture")
    frame.press("ArrowRight")
    frame.press("ArrowDown")
    assert_chosen(shown, widget, 18)
    box = frame.locator(".explorer-picture").first.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] * 2.5 / 8)
    assert_chosen(shown, widget, 2 * 8 + 5)
    visit.page.mouse.move(0, 0)
    assert_chosen(shown, widget, 18)
    frame.press("Escape")
    assert_chosen(shown, widget, 9)
    assert shown.get_by_role("button", name="New draw").count() == 0  # nothing here is random
    visit.assert_clean()


def test_every_control_changes_what_is_compared(visit, folder_server, widget):
    shown = show(visit.page, *folder_server, widget)
    before = widget.block, widget.channel, widget.picture
    try:
        shown.get_by_role("slider", name="Block").press("End")
        widget.block = 3
        assert_chosen(shown, widget, 9)
        shown.locator("select[name=channel]").select_option("mean")
        widget.channel = "mean"
        assert_chosen(shown, widget, 9)
        shown.locator("select[name=picture]").select_option("bee")
        widget.picture = "bee"
        assert_chosen(shown, widget, 9)
        middle, spread = widget.result().likeness.mean(), widget.result().likeness.std()
        expect(shown.locator(".explorer-summary")).to_have_text(
            re.compile(re.escape(f"(mean) in block 3: mean {number(middle)}, standard deviation {number(spread)} over"))
        )
    finally:
        widget.block, widget.channel, widget.picture = before
    visit.assert_clean()


def test_finger_chooses_a_patch_on_a_phone(browser, folder_server):
    widget = TokenExplorer(PICTURES["ant"], load_encoder("random"))  # 14 x 14 patches
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    try:
        page = context.new_page()
        shown = show(page, *folder_server, widget)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        box = shown.locator(".explorer-picture").first.bounding_box()
        assert box["width"] / 14 >= 24  # a patch is as large as WCAG 2.2 asks of a target
        page.touchscreen.tap(box["x"] + 3.5 / 14 * box["width"], box["y"] + 5.5 / 14 * box["height"])
        expect(shown.locator(".explorer-reading")).to_have_text(re.compile("Row 6, column 4: "))
    finally:
        context.close()
