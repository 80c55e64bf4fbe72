"""Every rendered page, in a browser that reaches nothing but this machine.

A chapter takes seconds to open, so the tests that look at it share two open pages of it, and those that change one come last.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit, fresh_page

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [p for p in PAGES if p != "index.html"]  # it only leads on
CHAPTERS = [p for p in PAGES if p.startswith("book/")]
LESSONS = [p for p in CHAPTERS if p[5:7].isdigit()]

MATHS_READY = """async () => {
  if (!window.MathJax) return;
  while (!MathJax.startup?.promise) await new Promise((done) => setTimeout(done, 20));
  await MathJax.startup.promise;
}"""
# elements that stick out of the page and are not inside something that scrolls by itself
TOO_WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => `${e.tagName.toLowerCase()}.${e.className} ends at ${Math.round(e.getBoundingClientRect().right)} px`)"""
# canvases that were never drawn on, and widgets without content
UNDRAWN = """() => [...document.querySelectorAll(".widget-static")].filter((w) => {
  if (!w.childElementCount) return true;
  return [...w.querySelectorAll("canvas")].some((c) => {
    const context = c.getContext("2d");
    return context && !context.getImageData(0, 0, c.width, c.height).data.some((byte) => byte);
  });
})"""


def load(visit: Visit, address: str) -> Visit:
    """The page with everything drawn that waits for a reader to come near."""
    visit.page.goto(address, wait_until="load")
    visit.draw_widgets()
    visit.page.evaluate(MATHS_READY)
    visit.page.wait_for_load_state("networkidle")
    return visit


@pytest.fixture(scope="module")
def shown(browser: Browser, book: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A chapter from a server."""
    with fresh_page(browser) as visit:
        yield load(visit, f"{book}/{request.param}")


@pytest.fixture(scope="module")
def dark(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A chapter from the disk, in the dark."""
    with fresh_page(browser, color_scheme="dark") as visit:
        yield load(visit, (HTML / request.param).as_uri())


def assert_fits(visit: Visit) -> None:
    visit.assert_clean()
    excess = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert excess <= 0, f"{excess} px too wide: {visit.page.evaluate(TOO_WIDE)[:8]}"


@pytest.mark.parametrize("shown", CHAPTERS, indirect=True)
def test_chapter_loads_cleanly_and_fits_its_width(shown):
    assert_fits(shown)


@pytest.mark.parametrize(
    ("path", "width"), [(path, width) for path in PAGES for width in (390, 1280) if width < 1280 or path not in CHAPTERS]
)
def test_page_loads_cleanly_and_fits_its_width(visit, book, path, width):
    visit.page.set_viewport_size({"width": width, "height": 800})
    assert_fits(load(visit, f"{book}/{path}"))


@pytest.mark.parametrize("shown", CHAPTERS, indirect=True)
def test_mathematics_is_typeset_without_an_error(shown):
    written = shown.page.locator(".math.notranslate").count()
    assert shown.page.locator(".math.notranslate mjx-container").count() >= written
    assert shown.page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("shown", CHAPTERS, indirect=True)
def test_every_widget_is_drawn_without_a_kernel(shown):
    views = shown.page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    expect(shown.page.locator(".widget-static, .widget-note")).to_have_count(views)
    shown.page.wait_for_function(f"() => !({UNDRAWN})().length")
    shown.assert_clean()


@pytest.mark.parametrize("shown", LESSONS, indirect=True)
def test_code_fits_its_box_and_output_wraps(shown):
    shown.page.evaluate("document.querySelectorAll('details').forEach((e) => { e.removeAttribute('name'); e.open = true; })")
    wide = """() => [...document.querySelectorAll(".bd-article pre")].filter((e) => e.scrollWidth > e.clientWidth + 1)
      .map((e) => e.textContent.slice(0, 80))"""
    assert not shown.page.evaluate(wide)


@pytest.mark.parametrize("dark", CHAPTERS, indirect=True)
def test_page_works_from_the_disk_and_in_the_dark(dark):
    dark.assert_clean()


@pytest.mark.parametrize("dark", CHAPTERS, indirect=True)
def test_photographs_keep_their_colours_in_the_dark(dark):
    filters = "[...new Set([...document.querySelectorAll('.bd-article img')].map((e) => getComputedStyle(e).filter))]"
    assert dark.page.evaluate(filters) in ([], ["none"])


@pytest.mark.parametrize("dark", LESSONS, indirect=True)
def test_quick_questions_answer_by_the_keyboard_from_the_disk(dark):
    questions = dark.page.locator(".quick-question")
    assert 2 <= questions.count() <= 3
    for question in questions.all():
        choices = question.locator("details")
        assert choices.and_(question.locator(".right")).count() == 1
        for choice in choices.all():  # each by Enter, and closes the one before
            choice.locator("summary").focus()
            dark.page.keyboard.press("Enter")
            right = "right" in (choice.get_attribute("class") or "")
            expect(choice.locator(".verdict")).to_have_text("Right." if right else "No.")
            expect(choice.locator(".verdict")).to_be_visible()
            expect(question.locator("details[open]")).to_have_count(1)
    dark.assert_clean()


def test_index_leads_to_the_first_page(visit, book):
    visit.page.goto(f"{book}/index.html")
    visit.page.wait_for_url("**/book/intro.html")
    visit.assert_clean()


@pytest.mark.parametrize(("word", "chapter"), [("entropy", "05_masked_entropy"), ("InfoNCE", "04_patchwise_infonce")])
def test_search_finds_the_chapter_of_a_word(visit, book, word, chapter):
    visit.page.goto(f"{book}/search.html?q={word}")
    found = visit.page.locator("#search-results li")
    found.locator(f'a[href*="{chapter}"]').first.wait_for()
    assert found.count() >= 2
    visit.assert_clean()
