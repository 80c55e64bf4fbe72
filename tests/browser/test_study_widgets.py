"""Crop pairs, the history of runs, and maps on a page without a kernel: mouse, keys and a finger change what is said."""

import math
import re
from collections.abc import Iterator

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Locator, Page, expect

from clicv2lite.extras import MissingPackage
from tests.browser.test_accessibility import ALL_BUT_CONTRAST, FOUND, NAMELESS, low_contrast
from tests.browser.test_new_widgets import show

pytest.importorskip("clicv2lite.widgets", exc_type=MissingPackage)

from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_square
from clicv2lite.evaluate.stored import read_results, stored_results
from clicv2lite.widgets.crops import CropPairs
from clicv2lite.widgets.history import HistoryExplorer, share_of_fall
from clicv2lite.widgets.maps import MapExplorer

CHANCE = math.log(64 * 26)


@pytest.fixture
def crops() -> CropPairs:
    return CropPairs({name: read_square(photographs()[name], 192).permute(1, 2, 0).numpy() for name in ("china", "gravel")})


@pytest.fixture
def history() -> HistoryExplorer:
    runs = {f"seed {run.seed}": run.log for run in read_results(stored_results()).runs}
    return HistoryExplorer(runs, references={"contrast": ("knows nothing", CHANCE)})


@pytest.fixture
def maps() -> MapExplorer:
    rng = np.random.default_rng(0)
    kinds, points = rng.integers(3, size=200), {name: rng.normal(size=(200, 2)) for name in ("one", "two")}
    return MapExplorer(points, [("art", "cat", "zoo")[kind] for kind in kinds], rng.uniform(size=200))


def says(shown: Locator, part: str, words: str) -> None:
    expect(shown.locator(f".explorer-{part}")).to_contain_text(words.replace(" %", "\u00a0%"))


def middle(node: Locator, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    box = node.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def says_pair(shown: Locator, widget: CropPairs) -> None:
    found = widget.result()
    says(shown, "reading", f"of the query {found.query:.2f}")
    says(shown, "reading", f"of the key {found.key:.2f}")


def test_crops_move_by_keys_and_a_pair_is_kept_by_enter(visit, folder_server, crops):
    shown = show(visit.page, *folder_server, crops)
    says_pair(shown, crops)
    says(shown, "summary", "No pair is kept yet")
    query = shown.get_by_role("button", name="query crop")
    for key in ("ArrowLeft", "ArrowDown", "ArrowDown"):
        query.press(key)
    crops.query = [0.45, 0.15]
    says_pair(shown, crops)
    query.press("Enter")
    crops.kept = [[*crops.query, *crops.key]]
    says(shown, "summary", f"1 pair of crops of 25 % of the picture: the two differ by {crops.result().gap:.2f} on average")
    shown.get_by_role("button", name="Keep this pair").click()  # the same pair counts once
    says(shown, "summary", "1 pair of crops")
    shown.get_by_role("button", name="Clear").click()
    says(shown, "summary", "No pair is kept yet")
    visit.assert_clean()


def test_mouse_drags_the_nearer_crop_and_leaves_a_pair(visit, folder_server, crops):
    shown, mouse = show(visit.page, *folder_server, crops), visit.page.mouse
    photo = shown.locator(".crops-photo")
    mouse.move(*middle(shown.locator(".crops-box.crops-key")))
    mouse.down()
    mouse.move(*middle(photo, 0.25, 0.75), steps=8)  # half of a crop from the corner
    mouse.up()
    crops.key = [0.0, 1.0]
    says_pair(shown, crops)
    says(shown, "summary", "1 pair of crops")
    mouse.click(*middle(photo, 0.99, 0.01))  # nearer to the query, and as far as it can go
    crops.query = [1.0, 0.0]
    says_pair(shown, crops)
    says(shown, "summary", "2 pairs of crops")
    visit.assert_clean()


def test_hundred_pairs_are_those_of_python_for_every_picture_size_and_measure(visit, folder_server, crops):
    shown = show(visit.page, *folder_server, crops)

    def says_all() -> None:
        found = crops.result()
        unit = "" if crops.measure == "edge density" else "\u00a0bits"
        says(shown, "summary", f"100 pairs of crops of {100 * crops.area:.0f} % of the picture: ")
        says(shown, "summary", f"the two differ by {found.gap:.2f}{unit} on average")
        says(shown, "summary", f"in {100 * found.twice:.0f} % one has at least twice the other.")
        assert shown.locator(".crops-dot").get_attribute("d").count("M") == 100

    shown.get_by_role("button", name="Draw 100 pairs").click()
    crops.drawn = True
    says_all()
    shown.get_by_role("slider", name="Area of a crop").press("Home")
    crops.area = 0.1
    says_all()
    shown.locator("select[name=measure]").select_option("patch entropy")
    crops.measure = "patch entropy"
    says_all()
    shown.locator("select[name=picture]").select_option("gravel")
    crops.picture = "gravel"
    says_all()
    shown.get_by_role("button", name="Draw 100 pairs").click()
    crops.seed = 1
    says_all()
    visit.assert_clean()


def says_row(shown: Locator, widget: HistoryExplorer, name: str) -> None:
    row, passes = widget.result()[name], widget.passes
    log = next(run.log for run in read_results(stored_results()).runs if name == f"seed {run.seed}")
    share = 100 * share_of_fall(log, "contrast", passes, CHANCE)
    says(shown, "reading", f"After {row['passes']:,} of 256,000 passes (")
    says(shown, "reading", f", {name}: InfoNCE {row['contrast']:.2f}\u00a0nats, {share:.0f} % of the way down;")
    says(shown, "reading", f"effective rank {row['effective_rank']:.1f};")


def test_slider_and_mouse_move_the_line_through_the_log(visit, folder_server, history):
    shown, mouse = show(visit.page, *folder_server, history), visit.page.mouse
    says_row(shown, history, "seed 0")
    passes = shown.get_by_role("slider", name="Passes")
    for _ in range(3):
        passes.press("ArrowRight")
    history.passes = history.constants["steps"][3]
    says_row(shown, history, "seed 0")
    passes.press("End")
    history.passes = 256_000
    says_row(shown, history, "seed 0")
    plot = shown.locator(".history-plot").nth(2)
    mouse.move(*middle(plot, 0.9))
    mouse.down()
    mouse.move(*middle(plot, 0.22 + 0.76 * math.log(5) / math.log(200)), steps=5)  # 6400 = 5 * 1280 of 256000 = 200 * 1280
    mouse.up()
    mouse.move(*middle(plot, 0.9))  # no longer pressed
    history.passes = 6400
    says_row(shown, history, "seed 0")
    says(shown, "reading", "After 6,400 of")
    visit.assert_clean()


def test_runs_are_shown_and_hidden(visit, folder_server, history):
    shown = show(visit.page, *folder_server, history)
    first = shown.locator(".history-values").first
    expect(first.locator("span")).to_have_count(3)
    shown.get_by_label("seed 0").uncheck()
    expect(first.locator("span")).to_have_count(2)
    history.shown = ["seed 1", "seed 2"]
    says_row(shown, history, "seed 1")
    want = [f"{row['contrast']:.2f}" for row in history.result().values()]
    assert first.locator("span").all_text_contents() == want
    shown.get_by_label("seed 1").uncheck()
    shown.get_by_label("seed 2").uncheck()
    says(shown, "reading", "No run is shown")
    visit.assert_clean()


def says_selection(shown: Locator, widget: MapExplorer) -> None:
    found = widget.result()
    says(shown, "reading", f"{found.chosen.sum()} of 200 images")
    if "bin" not in widget.selection:
        says(shown, "reading", f"the mean score is {found.mean_score:.2f} (by chance {found.mean_by_chance:.2f}")
    for kind, share in zip(widget.constants["categories"], found.classes, strict=True):
        value = shown.locator(".maps-class", has_text=kind).locator(".maps-value")
        expect(value).to_have_text(f"{math.floor(100 * share + 0.5)}\u00a0%")


def test_mouse_drags_a_rectangle_and_a_click_removes_it(visit, folder_server, maps):
    shown, mouse = show(visit.page, *folder_server, maps), visit.page.mouse
    says(shown, "reading", "All 200 images")
    second = shown.locator(".maps-map").nth(1)
    mouse.move(*middle(second, 0.75, 0.7))
    mouse.down()
    mouse.move(*middle(second, 0.4, 0.3), steps=6)
    mouse.up()
    says(shown, "reading", "in the rectangle on two")
    path = shown.locator(".maps-map").nth(1).locator("path").first.get_attribute("d")
    left, top, right, bottom = (float(x) for x in re.findall(r"[\d.]+", path)[:4])
    np.testing.assert_allclose([left, top, right, bottom], [0.4, 0.3, 0.75, 0.7], atol=0.01)
    maps.selection = {"map": "two", "box": [left, top, right, bottom]}
    says_selection(shown, maps)
    mouse.click(*middle(second, 0.1, 0.1))
    says(shown, "reading", "All 200 images")
    visit.assert_clean()


def test_keys_move_and_resize_the_rectangle_and_bars_select(visit, folder_server, maps):
    shown = show(visit.page, *folder_server, maps)
    first = shown.get_by_role("application", name="Map of one")
    moves = {
        "ArrowRight": [0.4, 0.4, 0.6, 0.6],  # the first key brings it
        "ArrowUp": [0.4, 0.35, 0.6, 0.55],
        "Shift+ArrowRight": [0.4, 0.35, 0.65, 0.55],
    }
    for keys, box in moves.items():
        first.press(keys)
        maps.selection = {"map": "one", "box": box}
        says_selection(shown, maps)
    first.press("Escape")
    says(shown, "reading", "All 200 images")
    shown.get_by_role("button", name=re.compile("^cat: ")).press("Enter")
    maps.selection = {"category": "cat"}
    says_selection(shown, maps)
    expect(shown.get_by_role("button", name=re.compile("^cat: "))).to_have_attribute("aria-pressed", "true")
    shown.get_by_role("button", name=re.compile("^Scores from 0.9 to 1: ")).click()
    maps.selection = {"bin": 9}
    says_selection(shown, maps)
    shown.get_by_role("button", name="Select all").click()
    says(shown, "reading", "All 200 images")
    shown.locator("select[name=left]").select_option("two")
    expect(shown.locator("figcaption").first).to_have_text("two")
    visit.assert_clean()


@pytest.mark.parametrize("name", ["crops", "history", "maps"])
def test_no_serious_barrier_and_no_sideways_scrolling_on_a_phone(visit, folder_server, request, name):
    page = visit.page
    shown = show(page, *folder_server, request.getfixturevalue(name))
    page.evaluate("document.documentElement.lang = 'en', document.title = 'a widget'")
    assert not page.evaluate(NAMELESS)
    page.evaluate(AXE_SCRIPT)
    assert not page.evaluate(FOUND, [ALL_BUT_CONTRAST, ".explorer"])
    assert not low_contrast(page)
    for control in shown.locator("input, select, [role=application], .crops-box, .maps-class, .maps-bin").all():
        assert control.get_attribute("data-lm-suppress-shortcuts") == "true"
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.assert_clean()


def test_reading_leaves_out_what_a_run_did_not_log_and_a_way_that_is_none(visit, folder_server):
    log = [{"passes": 10.0, "contrast": 5.0}, {"passes": 100.0, "contrast": 4.0}]
    other = [row | {"entropy": 3.0} for row in log]
    shown = show(visit.page, *folder_server, HistoryExplorer({"none": log, "MEM": other}, passes=100))
    says(shown, "reading", "none: InfoNCE 4.00\u00a0nats, 100 % of the way down.")
    shown = show(visit.page, *folder_server, HistoryExplorer({"one": log[:1]}))
    says(shown, "reading", "one: InfoNCE 5.00\u00a0nats.")
    visit.assert_clean()


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """By a finger."""
    session = page.context.new_cdp_session(page)
    for kind, share in [("touchStart", 0), *(("touchMove", k / 6) for k in range(1, 7)), ("touchEnd", None)]:
        at = [] if share is None else [{axis: a + share * (b - a) for axis, a, b in zip("xy", start, end, strict=True)}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


@pytest.fixture
def phone(browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 900}, has_touch=True)
    yield context.new_page()
    context.close()


def test_finger_that_scrolls_over_the_photo_moves_no_crop_and_keeps_no_pair(phone, folder_server, crops):
    shown = show(phone, *folder_server, crops)
    phone.evaluate("document.body.style.height = '3000px'")
    photo = shown.locator(".crops-photo")
    says_pair(shown, crops)
    drag(phone, middle(photo, 0.25, 0.8), middle(photo, 0.25, 0.3))  # from between the crops
    phone.wait_for_function("scrollY > 0")
    says_pair(shown, crops)
    says(shown, "summary", "No pair is kept yet")


def test_finger_drags_a_crop_and_a_rectangle(phone, folder_server, crops, maps):
    shown = show(phone, *folder_server, crops)
    photo = shown.locator(".crops-photo")
    drag(phone, middle(shown.locator(".crops-box.crops-key")), middle(photo, 0.25, 0.75))
    crops.key = [0.0, 1.0]
    says_pair(shown, crops)
    shown = show(phone, *folder_server, maps)
    first = shown.locator(".maps-map").first
    drag(phone, middle(first, 0.3, 0.3), middle(first, 0.7, 0.7))
    says(shown, "reading", "in the rectangle on one")
    assert phone.evaluate("scrollY") == 0
