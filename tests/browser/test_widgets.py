"""The explorers on their chapters' pages: mouse, touch and keyboard, and the same pixels as the package's."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from clicv2lite.extras import MissingPackage

pytest.importorskip("clicv2lite.widgets", exc_type=MissingPackage)

from clicv2lite.method.patches import DIRECTIONS
from clicv2lite.pretrain.export import load_pretraining
from clicv2lite.widgets.mask import Masked, masked_entropy
from clicv2lite.widgets.patchify import ViewPair, view_pair

HTML = Path(__file__).parents[2] / "_build" / "html" / "book"
PATCHIFY, MASK = "03_shifted_patchify.html", "05_masked_entropy.html"
BOTH = pytest.mark.parametrize("name", [PATCHIFY, MASK])
PIXELS = """canvases => canvases.map((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
})"""
SETTINGS = {
    PATCHIFY: ("patch", "max_shift", "seed", "augment", "zeros", "overrides"),
    MASK: ("patch", "ratio", "seed"),
}

pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason="the book is not rendered: make book")


def first_explorer(page: Page, address: str) -> Locator:
    page.goto(address)
    page.locator(".widget-static").first.scroll_into_view_if_needed()
    explorer = page.locator(".explorer").first
    explorer.scroll_into_view_if_needed()
    return explorer


def stored(explorer: Locator) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The pictures, by name, and the traits that the page stores for the explorer."""
    shown = explorer.evaluate("e => e.parentElement.nextElementSibling.textContent")
    file = explorer.page.locator('script[type="application/vnd.jupyter.widget-state+json"]').get_attribute("data-src")
    text = (HTML / file.partition("?")[0]).read_text(encoding="utf-8")
    model = json.loads(text.removeprefix("globalThis.anywidgetState = ").removesuffix(";\n"))["state"][
        json.loads(shown)["model_id"]
    ]
    (pixels,) = (b["data"] for b in model["buffers"] if b["path"] == ["pixels"])
    constants = model["state"]["constants"]
    images = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(-1, constants["side"], constants["side"], 3)
    return dict(zip(constants["pictures"], images, strict=True)), model["state"]


def state(explorer: Locator, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """The picture that is shown first, and the settings that its drawing depends on."""
    images, traits = stored(explorer)
    now = {key: traits[key] for key in SETTINGS[name]}
    if traits["constants"].get("model") == now["patch"]:
        now["model"] = load_pretraining()  # the chapter's
    return images[traits["picture"]], now


def drawn(explorer: Locator) -> list[np.ndarray]:
    """(side, side, 4) uint8 of each canvas."""
    pictures = [np.frombuffer(base64.b64decode(p), np.uint8) for p in explorer.locator("canvas").evaluate_all(PIXELS)]
    return [p.reshape(int((len(p) / 4) ** 0.5), -1, 4) for p in pictures]


def press(explorer: Locator, label: str, key: str, times: int = 1) -> None:
    for _ in range(times):
        explorer.get_by_role("slider", name=label).press(key)


def assert_views(explorer: Locator, pair: ViewPair) -> None:
    query, key = drawn(explorer)
    np.testing.assert_array_equal(query[..., :3], pair.query)
    np.testing.assert_array_equal(key[..., :3], pair.key)
    numbers = re.findall(r"(\d+)\s%", explorer.locator(".explorer-summary").inner_text())
    assert numbers == [str(int(100 * share + 0.5)) for share in (pair.query_kept, pair.key_kept, pair.shared)]


def assert_masked(explorer: Locator, masked: Masked) -> None:
    visible, every, target, prediction = drawn(explorer)
    np.testing.assert_array_equal(visible, masked.visible)
    for masked_only in (target, prediction):
        np.testing.assert_array_equal(masked_only[..., 3], 255 - visible[..., 3])
    assert (every[..., 3] == 255).all()
    summary = explorer.locator(".explorer-summary").inner_text()
    numbers = re.findall(r"(\d\.\d\d)\sbits", summary)
    means = [masked.entropy[np.isnan(masked.target)].mean(), np.nanmean(masked.target)]
    np.testing.assert_allclose([float(n) for n in numbers], means, atol=0.0051)
    errors = re.findall(r"(?:decoder|neighbours|patches) (\d+\.\d\d)", summary)
    np.testing.assert_allclose([float(e) for e in errors], list(masked.errors.values()), atol=0.0051)


def test_views_are_the_packages_before_and_after_each_control_is_used(visit, book):
    explorer = first_explorer(visit.page, f"{book}/book/{PATCHIFY}")
    image, now = state(explorer, PATCHIFY)
    assert_views(explorer, view_pair(image, **now))
    press(explorer, "Patch size", "Home")
    press(explorer, "Patch size", "ArrowRight")
    press(explorer, "Largest shift", "Home")
    press(explorer, "Largest shift", "ArrowRight", 3)
    press(explorer, "Seed", "Home")
    press(explorer, "Seed", "ArrowRight", 2)
    now |= {"patch": 16, "max_shift": 3, "seed": 2}
    assert_views(explorer, view_pair(image, **now))
    explorer.get_by_role("button", name="New draw").press("Enter")
    explorer.get_by_label("Augment each patch").set_checked(not now["augment"])
    explorer.get_by_label("Zeros before normalisation").set_checked(now["zeros"] == "after")
    now |= {"seed": 3, "augment": not now["augment"], "zeros": "before" if now["zeros"] == "after" else "after"}
    assert_views(explorer, view_pair(image, **now))
    visit.assert_clean()


def test_masks_and_entropies_are_the_packages_before_and_after_each_control_is_used(visit, book):
    explorer = first_explorer(visit.page, f"{book}/book/{MASK}")
    image, now = state(explorer, MASK)
    assert_masked(explorer, masked_entropy(image, **now))
    press(explorer, "Mask ratio", "Home")
    press(explorer, "Mask ratio", "ArrowRight", 5)
    press(explorer, "Patch size", "Home")
    press(explorer, "Patch size", "ArrowRight")
    press(explorer, "Seed", "End")
    explorer.get_by_role("button", name="New draw").press("Enter")  # after 99 comes 0
    traits = stored(explorer)[1]
    model = load_pretraining() if traits["constants"]["model"] == 16 else None
    assert_masked(explorer, masked_entropy(image, patch=16, ratio=0.25, seed=0, model=model))
    if model:
        press(explorer, "Patch size", "End")
        expect(explorer.locator("figcaption").last).to_have_text(re.compile(r"the model knows only 16\spx"))
        assert_masked(explorer, masked_entropy(image, patch=32, ratio=0.25, seed=0))
    visit.assert_clean()


def test_patch_turns_by_key_button_double_click_and_double_tap_and_back(browser, book):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    try:
        explorer = first_explorer(context.new_page(), f"{book}/book/{PATCHIFY}")
        image, now = state(explorer, PATCHIFY)
        press(explorer, "Patch size", "End")  # 4 x 4 patches
        press(explorer, "Largest shift", "End")
        now |= {"patch": 56, "max_shift": 28, "overrides": {}}
        frame, reading = explorer.get_by_role("application"), explorer.locator(".explorer-reading")
        frame.press("ArrowRight")
        frame.press("3")  # the first patch of the query view: to the right
        expect(reading).to_have_text(re.compile(r"Row 1, column 1, query view: query (mirrored, )?\d+\spx right, by hand"))
        for _ in range(4):
            frame.press("ArrowRight")  # into the key view
        frame.press("1")
        expect(reading).to_have_text(re.compile(r"column 1, key view: .*key (mirrored, )?\d+\spx up, by hand"))
        explorer.get_by_role("button", name="Turn the patch").press("Enter")  # from up to up and right
        now["overrides"] = {"query:0": 2, "key:0": 1}
        assert_views(explorer, view_pair(image, **now))
        expect(explorer.locator(".explorer-summary")).to_have_text(re.compile("2 turned by hand"))

        pictures, mouse = explorer.locator(".explorer-picture"), explorer.page.mouse
        before = view_direction(image, now, "query", 6)
        pictures.nth(0).scroll_into_view_if_needed()
        point_at(mouse.dblclick, pictures.nth(0), 1, 2, 4)
        now["overrides"]["query:6"] = (before + 1) % 8
        assert_views(explorer, view_pair(image, **now))
        before = view_direction(image, now, "key", 15)
        for _ in range(2):
            point_at(explorer.page.touchscreen.tap, pictures.nth(1), 3, 3, 4)
        now["overrides"]["key:15"] = (before + 1) % 8
        assert_views(explorer, view_pair(image, **now))

        mouse.move(1, 1)  # away: the button turns the patch that was tapped
        explorer.get_by_role("button", name="Turn the patch").click()
        now["overrides"]["key:15"] = (before + 2) % 8
        assert_views(explorer, view_pair(image, **now))
        explorer.get_by_role("button", name="Forget turns").click()
        assert_views(explorer, view_pair(image, **(now | {"overrides": {}})))
    finally:
        context.close()


def view_direction(image: np.ndarray, now: dict[str, Any], view: str, k: int) -> int:
    """The direction that a patch moves in: the one that, set by hand, changes nothing."""
    want = getattr(view_pair(image, **now), view)
    (same,) = (
        d
        for d in range(len(DIRECTIONS))
        if (getattr(view_pair(image, **{**now, "overrides": now["overrides"] | {f"{view}:{k}": d}}), view) == want).all()
    )
    return same


@BOTH
def test_list_shows_each_of_several_pictures(visit, book, name):
    explorer = first_explorer(visit.page, f"{book}/book/{name}")
    images, _ = stored(explorer)
    if len(images) == 1:
        pytest.skip("this chapter shows one picture")
    _, now = state(explorer, name)
    for picture, image in images.items():
        explorer.get_by_role("combobox", name="Picture").select_option(picture)
        if name == PATCHIFY:
            assert_views(explorer, view_pair(image, **now))
        else:
            assert_masked(explorer, masked_entropy(image, **now))
    visit.assert_clean()


def test_arrow_keys_read_the_entropy_of_each_patch(visit, book):
    explorer = first_explorer(visit.page, f"{book}/book/{MASK}")
    image, now = state(explorer, MASK)
    entropy = masked_entropy(image, **now).entropy
    frame, reading = explorer.get_by_role("application"), explorer.locator(".explorer-reading")
    expect(reading).to_have_text(re.compile("arrow keys"))
    row = column = 0
    for key, down, right in [
        ("ArrowUp", 0, 0),
        ("ArrowRight", 0, 1),
        ("ArrowDown", 1, 0),
        ("ArrowDown", 1, 0),
        ("ArrowLeft", 0, -1),
    ]:
        frame.press(key)  # the first one chooses the first patch
        row, column = row + down, column + right
        expect(reading).to_have_text(re.compile(rf"Row {row + 1}, column {column + 1}: {entropy[row, column]:.2f}\sbits"))
    frame.press("Escape")
    expect(reading).to_have_text(re.compile("arrow keys"))
    assert visit.page.evaluate("scrollX") == 0


def point_at(act: Callable[[float, float], None], picture: Locator, row: int, column: int, columns: int) -> None:
    box = picture.bounding_box()
    assert box
    act(box["x"] + (column + 0.5) / columns * box["width"], box["y"] + (row + 0.5) / columns * box["height"])


@BOTH
def test_mouse_and_touch_read_the_same_patch_on_each_picture(browser, book, name):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    try:
        explorer = first_explorer(context.new_page(), f"{book}/book/{name}")
        press(explorer, "Patch size", "End")  # 4 x 4 patches
        pictures, reading = explorer.locator(".explorer-picture"), explorer.locator(".explorer-reading")
        for i in range(pictures.count()):
            pictures.nth(i).scroll_into_view_if_needed()
            point_at(explorer.page.mouse.move, pictures.nth(i), i, 3, 4)
            expect(reading).to_have_text(re.compile(f"Row {i + 1}, column 4"))
            point_at(explorer.page.touchscreen.tap, pictures.nth(i), i, 1, 4)
            expect(reading).to_have_text(re.compile(f"Row {i + 1}, column 2"))
    finally:
        context.close()


@BOTH
def test_lines_over_the_pictures_come_and_go_and_leave_the_pixels_alone(visit, book, name):
    explorer = first_explorer(visit.page, f"{book}/book/{name}")
    before = drawn(explorer)
    for label, lines in [("Grid lines", "grid"), ("Arrows", "marks")]:
        if label == "Arrows" and name == MASK:
            continue
        paths = explorer.locator(f".explorer-{lines}")
        for on in (False, True):
            explorer.get_by_label(label).set_checked(on)
            assert all(bool(d) == on for d in paths.evaluate_all("all => all.map((path) => path.getAttribute('d'))"))
    assert all((a == b).all() for a, b in zip(before, drawn(explorer), strict=True))


@BOTH
def test_every_control_has_a_name_and_keeps_its_keys_from_jupyterlab(visit, book, name):
    explorer = first_explorer(visit.page, f"{book}/book/{name}")
    controls = explorer.locator("input, select, [tabindex]")
    several = len(stored(explorer)[0]) > 1
    assert controls.count() == {PATCHIFY: 8, MASK: 5}[name] + several
    for control in controls.all():
        assert control.get_attribute("data-lm-suppress-shortcuts") == "true"
        assert control.get_attribute("aria-label") or control.evaluate("e => e.labels[0].textContent.trim()")
    assert explorer.get_by_role("slider", name="Patch size").get_attribute("aria-valuetext").endswith("px")
    expect(explorer.locator("[aria-live=polite]")).to_have_count(2)


@BOTH
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(visit, book, name, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    explorer = first_explorer(visit.page, f"{book}/book/{name}")
    colours = explorer.locator(".explorer-summary").evaluate("""e => {
      const context = document.createElement("canvas").getContext("2d");
      const rgb = (css) => {
        context.fillStyle = css;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
      };
      const background = (node) => getComputedStyle(node).backgroundColor;
      let below = e;
      while (background(below) === "rgba(0, 0, 0, 0)" && below.parentElement) below = below.parentElement;
      return [rgb(getComputedStyle(e).color), rgb(background(below))];
    }""")
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb) / 255] for rgb in colours]
    text, page = (0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear)  # relative luminance, WCAG 2
    assert (text > page) == (scheme == "dark")
    assert (max(text, page) + 0.05) / (min(text, page) + 0.05) >= 7


@BOTH
def test_pictures_stand_side_by_side_on_a_phone(visit, book, name):
    visit.page.set_viewport_size({"width": 390, "height": 800})
    explorer = first_explorer(visit.page, f"{book}/book/{name}")
    boxes = [picture.bounding_box() for picture in explorer.locator(".explorer-picture").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 120 for box in boxes)
    assert len({round(box["width"]) for box in boxes}) == 1
