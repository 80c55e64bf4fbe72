"""Widgets on a page without a kernel: mouse, touch, keyboard, and the package's numbers."""

import base64
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from clicv2lite.extras import MissingPackage

pytest.importorskip("clicv2lite.widgets", exc_type=MissingPackage)

from ipywidgets.embed import dependency_state, embed_data

from clicv2lite.method.clicv2 import CLICv2
from clicv2lite.recipes.library import get_recipe
from clicv2lite.widgets.circle import CircleExplorer
from clicv2lite.widgets.leaderboard import Leaderboard
from clicv2lite.widgets.mask import MaskExplorer
from clicv2lite.widgets.similarity import DRAWN, SimilarityExplorer
from clicv2lite.widgets.training_step import TrainingStep

HOST = Path(__file__).parents[2] / "book" / "_ext" / "static" / "offline" / "anywidget-host.js"
NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]
PICTURES = {
    name: np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(40, 0).repeat(40, 1)
    for i, name in enumerate(NAMES)
}
RATINGS = [0.123, 0.877, 0.456, 0.654, 0.234, 0.765, 0.345, 0.543]
MEASURES = {"jpeg_size": [8, 1, 2, 7, 3, 6, 5, 4], "edges": RATINGS, "flat": [1] * 8}
PIXELS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
}"""


def show(page: Page, folder: Path, address: str, widget) -> Locator:
    """Put a widget on a small page as the book does, and open it."""
    data = embed_data(views=[widget], state=dependency_state(widget, drop_defaults=False))
    scripts = [("state", data["manager_state"]), ("view", data["view_specs"][0])]
    body = "".join(f'<script type="application/vnd.jupyter.widget-{kind}+json">{json.dumps(x)}</script>' for kind, x in scripts)
    (folder / "host.js").write_text(HOST.read_text())
    head = '<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    (folder / "index.html").write_text(f'{head}<script src="host.js"></script><div>{body}</div>')
    page.goto(address)
    shown = page.locator(".explorer")
    shown.wait_for()
    return shown


@pytest.fixture(scope="module")
def similarity() -> SimilarityExplorer:
    torch.manual_seed(0)
    return SimilarityExplorer(dict(list(PICTURES.items())[:4]), CLICv2(get_recipe("lite").model), patch=10)


@pytest.fixture
def leaderboard() -> Leaderboard:
    return Leaderboard(PICTURES, RATINGS, MEASURES)


def pixels(canvas: Locator) -> np.ndarray:
    return np.frombuffer(base64.b64decode(canvas.evaluate(PIXELS)), np.uint8).reshape(128, 128, 4)


def number(x: float, digits: int = 2) -> str:
    return f"{x:.{digits}f}".replace("-", "\u2212")


def assert_similarity(shown: Locator, widget: SimilarityExplorer, **now) -> None:
    """The page reads what the package computes with these settings."""
    before = {name: getattr(widget, name) for name in now}
    for name, value in now.items():
        setattr(widget, name, value)
    want, image, k = widget.result(), widget.image, widget.patch
    other, row, column = want.hardest
    for name, value in before.items():
        setattr(widget, name, value)
    expect(shown.locator(".explorer-reading")).to_have_text(
        f"Row {k // 8 + 1}, column {k % 8 + 1} of {NAMES[image]}: the positive has logit "
        f"{number(want.logits[image, k // 8, k % 8])}, rank {want.rank} of {want.candidates}, "
        f"probability {100 * want.probability:.1f} %; loss {number(want.loss)} nats. "
        f"Hardest negative: {NAMES[other]}, row {row + 1}, column {column + 1}, logit {number(want.logits[want.hardest])}."
    )
    expect(shown.locator(".explorer-summary")).to_contain_text(
        f"the mean loss is {number(want.mean_loss)} nats, where chance is ln {want.candidates} = "
        f"{number(math.log(want.candidates))} nats; {int(100 * want.hits + 0.5)} % have their positive on rank 1."
    )


def test_mouse_keys_and_every_control_give_the_packages_numbers(visit, folder_server, similarity):
    shown = show(visit.page, *folder_server, similarity)
    assert_similarity(shown, similarity)
    query = shown.get_by_role("application", name="Query view")
    box = query.locator(".explorer-picture").bounding_box()
    visit.page.mouse.click(box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] * 2.5 / 8)
    assert_similarity(shown, similarity, patch=2 * 8 + 5)
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):  # the last one stays at the edge
        query.press(key)
    assert_similarity(shown, similarity, patch=3 * 8 + 7)
    shown.get_by_role("radio", name="cat").check()
    assert_similarity(shown, similarity, image=2, patch=31)
    for negatives in DRAWN:
        shown.get_by_label("Negatives").select_option(negatives)
        assert_similarity(shown, similarity, image=2, patch=31, negatives=negatives)
    slider = shown.get_by_role("slider", name="Temperature")
    slider.press("Home")
    assert_similarity(shown, similarity, image=2, patch=31, negatives="same-image", temperature=0.05)
    slider.press("End")
    assert_similarity(shown, similarity, image=2, patch=31, negatives="same-image", temperature=1)
    shown.get_by_role("button", name="The paper's 0.2").click()
    assert_similarity(shown, similarity, image=2, patch=31, negatives="same-image", temperature=0.2)
    assert slider.get_attribute("aria-valuetext") == "0.20"
    visit.assert_clean()


def test_views_on_the_page_are_those_of_the_state_and_the_maps_follow_the_choice(visit, folder_server, similarity):
    shown = show(visit.page, *folder_server, similarity)
    views = np.frombuffer(similarity.pixels, np.uint8).reshape(2, 4, 128, 128, 3)
    canvases = shown.locator(".explorer-picture canvas")
    assert canvases.count() == 5
    np.testing.assert_array_equal(pixels(canvases.nth(0))[..., :3], views[0, 0])
    shown.get_by_role("radio", name="dog").press("ArrowLeft")  # from the chosen one: radio buttons have keys of their own
    shown.get_by_role("radio", name="bee").check()
    np.testing.assert_array_equal(pixels(canvases.nth(0))[..., :3], views[0, 1])
    maps = [pixels(canvases.nth(i)) for i in range(1, 5)]
    assert all((m[..., 3] == 255).all() for m in maps)
    shown.get_by_label("Softmax probabilities").check()
    assert all((pixels(canvases.nth(i)) != maps[i - 1]).any() for i in range(1, 5))
    expect(shown.locator(".explorer-legend")).to_have_attribute("aria-label", re.compile("dark blue is 0.0\\s%, yellow is"))
    shown.get_by_label("Negatives").select_option("other-images")
    opaque = (pixels(canvases.nth(2))[..., 3] == 255).reshape(8, 16, 8, 16).all((1, 3))
    assert opaque.sum() == 1 and opaque[1, 2]  # of the query's own image, the positive alone
    shown.get_by_label("Grid lines").uncheck()
    assert not any(shown.locator(".explorer-grid").evaluate_all("all => all.map((path) => path.getAttribute('d'))"))
    visit.assert_clean()


def test_positive_and_hardest_negative_are_outlined_where_they_are(visit, folder_server, similarity):
    shown = show(visit.page, *folder_server, similarity)
    other, row, column = similarity.result().hardest
    for name, i, top, left in [("chosen", 0, 16, 32), ("hardest", other, 16 * row, 16 * column)]:
        paths = shown.locator(f".similarity-keys figure .explorer-{name}.explorer-over").evaluate_all(
            "all => all.map((path) => path.getAttribute('d'))"
        )
        assert [bool(d) for d in paths] == [k == i for k in range(4)]
        assert paths[i].startswith(f"M{left + 1} {top + 1}h14")


def test_keys_are_read_by_mouse_and_arrow_keys_from_picture_to_picture(visit, folder_server, similarity):
    shown = show(visit.page, *folder_server, similarity)
    want, key = similarity.result(), shown.locator(".explorer-key")
    frame = shown.get_by_role("application", name="Key views")
    expect(key).to_have_text(re.compile("arrow keys"))

    def read(image: int, row: int, column: int) -> None:
        role = "the positive" if (image, row, column) == (0, 1, 2) else "a negative"
        text = f"Key {NAMES[image]}, row {row + 1}, column {column + 1}: {role}, "
        expect(key).to_have_text(re.compile(re.escape(text + f"logit {number(want.logits[image, row, column])}, probability")))

    box = frame.locator(".explorer-picture").nth(0).bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] * 2.5 / 8, box["y"] + box["height"] * 1.5 / 8)
    read(0, 1, 2)
    for _ in range(6):
        frame.press("ArrowRight")
    read(1, 1, 0)
    frame.press("ArrowDown")
    read(1, 2, 0)
    frame.press("ArrowLeft")
    read(0, 2, 7)
    frame.press("Escape")
    expect(key).to_have_text(re.compile("arrow keys"))


def test_finger_chooses_a_patch_and_reads_a_key_on_a_phone(browser, folder_server, similarity):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    try:
        page = context.new_page()
        shown = show(page, *folder_server, similarity)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        boxes = [picture.bounding_box() for picture in shown.locator(".explorer-picture").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
        assert boxes[0]["width"] / 8 >= 24  # a patch is as large as WCAG 2.2 asks of a target
        query = shown.locator(".similarity-query .explorer-picture")
        first = shown.locator(".similarity-keys .explorer-picture").first

        def tap(picture: Locator, row: int, column: int) -> None:
            picture.scroll_into_view_if_needed()
            box = picture.bounding_box()
            page.touchscreen.tap(box["x"] + (column + 0.5) / 8 * box["width"], box["y"] + (row + 0.5) / 8 * box["height"])

        tap(query, 6, 1)
        assert_similarity(shown, similarity, patch=49)
        tap(first, 7, 3)
        expect(shown.locator(".explorer-key")).to_have_text(re.compile("Key ant, row 8, column 4: a negative"))
    finally:
        context.close()


def order(shown: Locator) -> list[str]:
    return shown.locator(".leaderboard-handle span").all_text_contents()


def assert_order(shown: Locator, want: list[str]) -> None:
    expect(shown.locator(".leaderboard-handle span")).to_have_text(want)
    assert shown.locator(".leaderboard-place").all_text_contents() == ["1", "2", "3", "4", "5", "6"]
    expect(shown.locator(".explorer-summary")).to_contain_text(f"most complex first: {', '.join(want)}.")


def test_ratings_and_measures_are_not_on_the_page_before_compare(visit, folder_server, leaderboard):
    shown = show(visit.page, *folder_server, leaderboard)
    assert_order(shown, leaderboard.order)
    secret = [str(rating) for rating in RATINGS] + ["jpeg", "edges", "ratings"]
    assert not [word for word in secret if word in shown.inner_html()]
    shown.get_by_role("button", name="Compare").click()
    assert all(word in shown.inner_html() for word in [str(RATINGS[NAMES.index(name)]) for name in leaderboard.six] + ["edges"])
    shown.get_by_role("button", name="Hide the comparison").click()
    assert not [word for word in secret if word in shown.inner_html()]
    visit.assert_clean()


def test_buttons_and_arrow_keys_move_a_picture_and_the_focus_goes_with_it(visit, folder_server, leaderboard):
    shown, want = show(visit.page, *folder_server, leaderboard), leaderboard.order
    moved = want[3]

    def move(to: int) -> None:
        want.remove(moved)
        want.insert(to, moved)
        assert_order(shown, want)
        expect(shown.locator(".explorer-reading")).to_have_text(f"{moved.capitalize()} is on place {to + 1} of 6.")
        assert visit.page.evaluate("document.activeElement.closest('li')?.textContent").endswith(moved)

    shown.get_by_role("button", name=f"{moved}: more complex").click()
    move(2)
    shown.get_by_role("button", name=f"{moved}: less complex").press("Enter")
    move(3)
    handle = shown.get_by_role("button", name=re.compile(f"^{moved}, place"))
    for key, to in [("ArrowUp", 2), ("ArrowLeft", 1), ("ArrowDown", 2), ("ArrowRight", 3), ("End", 5), ("Home", 0)]:
        handle.press(key)
        move(to)
    handle.press("ArrowUp")  # the first one stays
    assert_order(shown, want)
    assert handle.get_attribute("aria-label") == f"{moved}, place 1 of 6; the arrow keys move it"
    visit.assert_clean()


def centre(item: Locator) -> tuple[float, float]:
    box = item.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_mouse_drags_a_picture_to_another_place_and_a_click_moves_nothing(visit, folder_server, leaderboard):
    shown, names = show(visit.page, *folder_server, leaderboard), leaderboard.order
    handles, mouse = shown.locator(".leaderboard-handle"), visit.page.mouse
    handles.nth(2).click()
    assert_order(shown, names)
    end = centre(handles.nth(4))
    mouse.move(*centre(handles.nth(0)))
    mouse.down()
    mouse.move(*end, steps=12)
    assert_order(shown, [*names[1:5], names[0], names[5]])  # it makes room before it lands
    mouse.up()
    mouse.move(5, 5)
    assert_order(shown, [*names[1:5], names[0], names[5]])
    assert not shown.locator(".leaderboard-dragged").count()
    visit.assert_clean()


def test_finger_drags_a_picture_and_the_page_does_not_scroll(browser, folder_server, leaderboard):
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    try:
        page = context.new_page()
        shown, names = show(page, *folder_server, leaderboard), leaderboard.order
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        (x, start), (_, end) = centre(shown.locator(".leaderboard-handle").nth(4)), centre(shown.locator("li").nth(1))
        session = context.new_cdp_session(page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            touches = [{"x": x, "y": y} for x, y in points]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

        touch("touchStart", (x, start))
        for step in range(1, 11):
            touch("touchMove", (x, start + (end - start) * step / 10))
        touch("touchEnd")
        assert_order(shown, [names[0], names[4], *names[1:4], names[5]])
        assert page.evaluate("scrollY") == 0
        shown.get_by_role("button", name="Compare").click()
        expect(shown.get_by_role("table")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        context.close()


def test_comparison_is_the_packages_and_follows_the_order(visit, folder_server, leaderboard):
    shown = show(visit.page, *folder_server, leaderboard)
    shown.get_by_role("button", name="Compare").press("Enter")

    def assert_board() -> None:
        want = leaderboard.result()
        rows = shown.locator("tbody tr")
        expect(rows).to_have_count(5)
        assert shown.locator("thead img").evaluate_all("all => all.map((img) => img.alt)") == list(want.pictures)
        assert rows.nth(0).locator("td span").all_text_contents() == [f"{value:.3g}" for value in want.truth]
        for i, standing in enumerate(want.standings, 1):
            name = rows.nth(i).locator("th").text_content()
            assert name == ("You" if standing.name == "you" else standing.name)
            rho = "–" if math.isnan(standing.spearman) else number(standing.spearman)
            assert rows.nth(i).locator("td").nth(1).text_content() == rho
            assert rows.nth(i).locator("td b").all_text_contents() == [f"{rank:g}" for rank in standing.ranks]
        mine = next(s for s in want.standings if s.name == "you")
        summary = shown.locator(".explorer-summary")
        expect(summary).to_contain_text(f"Spearman of your order {number(mine.spearman)}, place ")
        expect(summary).to_contain_text(f"People's ratings: {', '.join(want.pictures)}.")

    assert_board()
    shown.get_by_role("button", name=re.compile(f"^{leaderboard.order[0]}, place")).press("End")
    leaderboard.order = order(shown)
    assert_board()
    visit.assert_clean()


def test_new_six_are_those_of_the_next_seed_and_hide_the_answer(visit, folder_server, leaderboard):
    shown = show(visit.page, *folder_server, leaderboard)
    shown.get_by_role("button", name="Compare").click()
    shown.get_by_role("button", name="New six").click()
    leaderboard.seed = 1
    assert_order(shown, leaderboard.order)
    expect(shown.get_by_role("table")).to_have_count(0)
    assert shown.locator(".leaderboard-handle img").evaluate_all("all => all.every((img) => img.naturalWidth === 96)")
    assert shown.locator(".leaderboard-handle img").evaluate_all("all => all.map((img) => img.alt)") == leaderboard.order
    visit.assert_clean()


@pytest.mark.parametrize("name", ["similarity", "leaderboard"])
def test_every_control_has_a_name_and_the_text_is_live(visit, folder_server, request, name):
    shown = show(visit.page, *folder_server, request.getfixturevalue(name))
    named: Callable[[Locator], str] = lambda node: node.evaluate(  # noqa: E731
        "e => e.ariaLabel || e.labels?.[0]?.textContent.trim() || e.textContent.trim()"
    )
    controls = shown.locator("input, select, button, [tabindex]").all()
    assert len(controls) == {"similarity": 4 + 3 + 1 + 1 + 1 + 2, "leaderboard": 18 + 2 + 1}[name]
    assert all(named(control) for control in controls)
    for control in shown.locator("input, select, .leaderboard-handle, [role=application]").all():
        assert control.get_attribute("data-lm-suppress-shortcuts") == "true"
    expect(shown.locator("[aria-live=polite]")).to_have_count({"similarity": 3, "leaderboard": 2}[name])


@pytest.fixture(scope="module")
def training_step() -> TrainingStep:
    torch.manual_seed(0)
    recipe = get_recipe("lite")
    images = torch.from_numpy(np.stack(list(PICTURES.values())[:2])).permute(0, 3, 1, 2)
    return TrainingStep(images, CLICv2(recipe.model), recipe)


def test_buttons_and_arrow_keys_lead_through_the_stations_of_a_step(visit, folder_server, training_step):
    shown = show(visit.page, *folder_server, training_step)
    stage = shown.locator(".step-stage")

    def assert_station(at: int) -> None:
        want = training_step.stations[at]
        lines = [f"{at + 1}. {want['title']}", want["sentence"], f"{want['symbol']}: {want['shape']}"]
        expect(shown.locator("[aria-live=polite] p")).to_have_text(lines)
        marked = shown.locator(".step-plan .step-now").evaluate_all("all => all.map((e) => e.dataset.part)")
        assert set(marked) == set(want["parts"])

    assert_station(0)
    shown.get_by_role("button", name="Next").click()
    assert_station(1)
    stage.press("ArrowRight")
    assert_station(2)
    stage.press("End")
    shown.get_by_role("button", name="Next").click(force=True)  # the last one stays, and so does the focus
    assert_station(10)
    assert visit.page.evaluate("document.activeElement.textContent") == "Next"
    shown.get_by_role("button", name="Back").press("Enter")
    assert_station(9)
    stage.press("Home")
    assert_station(0)
    visit.page.set_viewport_size({"width": 390, "height": 800})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.assert_clean()


def circle_words(widget: CircleExplorer) -> str:
    found = widget.result()
    loss = f"InfoNCE {number(found.loss)}\u00a0nats (chance {number(math.log(widget.count + 1))})"
    name = loss if widget.repel else f"1 \u2212 q\u00b7k {number(found.loss)}"
    return f"After {widget.steps} steps: {name}, alignment {number(found.alignment)}, uniformity {number(found.uniformity)}."


def test_points_on_the_circle_step_run_and_reset_as_in_python(visit, folder_server):
    widget, page = CircleExplorer(), visit.page
    shown = show(page, *folder_server, widget)
    words = shown.locator(".explorer-summary")
    expect(words).to_have_text(circle_words(widget))
    shown.get_by_role("button", name="Step").click()
    widget.step()
    expect(words).to_have_text(circle_words(widget))
    shown.get_by_role("slider", name="Negatives").press("Home")
    widget.count = 1
    expect(words).to_have_text(circle_words(widget))
    page.emulate_media(reduced_motion="reduce")
    shown.get_by_role("button", name="Run").click()  # with all negatives, or none, the last digits of a float would grow
    for _ in range(300):
        widget.step()
    expect(words).to_have_text(circle_words(widget))
    shown.get_by_label("With negatives").uncheck()
    widget.repel = False
    expect(words).to_have_text(circle_words(widget))
    shown.get_by_role("button", name="Reset").click()
    start = CircleExplorer(count=1, repel=False)
    expect(words).to_have_text(circle_words(start))
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.assert_clean()


def test_single_picture_shows_the_decoders_answer_to_the_last_mask_of_the_page(visit, folder_server):
    torch.manual_seed(0)
    model = CLICv2(get_recipe("ci").model)
    torch.nn.init.normal_(model.decoder.predict.weight)  # predictions that differ from patch to patch
    widget = MaskExplorer(PICTURES["ant"], model=model, ratio=0.95, seed=9)
    shown = show(visit.page, *folder_server, widget)
    expect(shown.locator(".explorer-summary")).to_contain_text(f"of the decoder {widget.result().errors['decoder']:.2f}")
    visit.assert_clean()
