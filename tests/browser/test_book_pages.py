"""Every rendered page, in a browser that reaches nothing but this machine."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [p for p in PAGES if p != "index.html"]  # it only leads on
CHAPTERS = [p for p in PAGES if p.startswith("book/")]

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


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_page_loads_cleanly_and_fits_its_width(visit, book, path, width):
    visit.page.set_viewport_size({"width": width, "height": 800})
    visit.page.goto(f"{book}/{path}", wait_until="load")
    visit.draw_widgets()
    visit.page.evaluate(MATHS_READY)
    visit.page.wait_for_load_state("networkidle")
    visit.assert_clean()
    excess = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert excess <= 0, f"{excess} px too wide: {visit.page.evaluate(TOO_WIDE)[:8]}"


@pytest.mark.parametrize("path", CHAPTERS)
def test_mathematics_is_typeset_without_an_error(visit, book, path):
    visit.page.goto(f"{book}/{path}", wait_until="load")
    written = visit.page.locator(".math.notranslate").count()
    visit.page.evaluate(MATHS_READY)
    assert visit.page.locator(".math.notranslate mjx-container").count() >= written
    assert visit.page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("path", CHAPTERS)
def test_every_widget_is_drawn_without_a_kernel(visit, book, path):
    visit.page.goto(f"{book}/{path}", wait_until="load")
    visit.draw_widgets()
    views = visit.page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    expect(visit.page.locator(".widget-static, .widget-note")).to_have_count(views)
    visit.page.wait_for_function(f"() => !({UNDRAWN})().length")
    visit.assert_clean()


@pytest.mark.parametrize("path", CHAPTERS)
def test_page_works_from_the_disk_and_in_the_dark(visit, path):
    visit.page.emulate_media(color_scheme="dark")
    visit.page.goto((HTML / path).as_uri(), wait_until="load")
    visit.draw_widgets()
    visit.page.evaluate(MATHS_READY)
    visit.assert_clean()


@pytest.mark.parametrize("path", [path for path in CHAPTERS if path[5:7].isdigit()])
def test_code_fits_its_box_and_output_wraps(visit, book, path):
    visit.page.goto(f"{book}/{path}", wait_until="load")
    visit.page.evaluate("document.querySelectorAll('details').forEach((e) => { e.removeAttribute('name'); e.open = true; })")
    wide = """() => [...document.querySelectorAll(".bd-article pre")].filter((e) => e.scrollWidth > e.clientWidth + 1)
      .map((e) => e.textContent.slice(0, 80))"""
    assert not visit.page.evaluate(wide)


@pytest.mark.parametrize("path", [path for path in CHAPTERS if path[5:7].isdigit()])
def test_quick_questions_answer_by_the_keyboard_from_the_disk(visit, path):
    visit.page.goto((HTML / path).as_uri(), wait_until="load")
    questions = visit.page.locator(".quick-question")
    assert 2 <= questions.count() <= 3
    for question in questions.all():
        choices = question.locator("details")
        assert choices.and_(question.locator(".right")).count() == 1
        for choice in choices.all():  # each by Enter, and closes the one before
            choice.locator("summary").focus()
            visit.page.keyboard.press("Enter")
            right = "right" in (choice.get_attribute("class") or "")
            expect(choice.locator(".verdict")).to_have_text("Right." if right else "No.")
            expect(choice.locator(".verdict")).to_be_visible()
            expect(question.locator("details[open]")).to_have_count(1)
    visit.assert_clean()


@pytest.mark.parametrize("path", CHAPTERS)
def test_photographs_keep_their_colours_in_the_dark(visit, book, path):
    visit.page.emulate_media(color_scheme="dark")
    visit.page.goto(f"{book}/{path}", wait_until="load")
    visit.draw_widgets()
    filters = "[...new Set([...document.querySelectorAll('.bd-article img')].map((e) => getComputedStyle(e).filter))]"
    assert visit.page.evaluate(filters) in ([], ["none"])


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
