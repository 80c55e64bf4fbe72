"""What axe-core, a library of accessibility checks, and the names of pictures say about every rendered page."""

from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [p for p in PAGES if p != "index.html"]  # it only leads on

# A page of code has thousands of coloured words. One of each class in each kind of place stays an element of its own,
# the others, which look the same, become text: axe takes its time for every element.
ONE_OF_A_KIND = """() => {
  const seen = new Set();
  const words = document.querySelectorAll(".highlight span, .sig :is(span, em), code span");
  for (const word of [...words].reverse()) { // the inner ones first
    if (word.childElementCount || [...word.attributes].some(({ name }) => name !== "class")) continue;
    let place = "";
    for (let up = word; up && up.tagName !== "ARTICLE"; up = up.parentElement) place += `${up.tagName}.${up.className} `;
    if (seen.has(place)) word.replaceWith(word.textContent);
    else seen.add(place);
  }
  document.body.normalize();
}"""
SETTLED = """async () => {
  await window.MathJax?.startup?.promise;
  await Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})));
}"""
FOUND = """async (options) => (await axe.run({ preload: false, resultTypes: ["violations"], ...options })).violations
  .filter(({ id, impact }) => ["serious", "critical"].includes(impact) || ["region", "empty-table-header"].includes(id))
  .flatMap(({ id, nodes }) => nodes.map(({ target, any, all, none }) =>
    `${id}: ${target} (${[...any, ...all, ...none].map(({ message }) => message)[0]})`))"""
NAMELESS = """() => [...document.querySelectorAll("img, canvas, svg, [role=img]")]
  .filter((e) => !e.closest("[aria-hidden=true]") && !(e.tagName !== "IMG" && e.closest("button, a")) && e.checkVisibility())
  .filter((e) => !(e.alt ?? e.ariaLabel ?? e.querySelector("title")?.textContent ?? "").trim())
  .map((e) => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("path", PAGES)
def test_page_has_no_serious_barrier_in_light_and_dark_and_names_its_pictures(visit, book, path):
    page = visit.page
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(f"{book}/{path}", wait_until="load")
    page.evaluate(SETTLED)
    assert not page.evaluate(NAMELESS)
    page.evaluate(ONE_OF_A_KIND)
    page.evaluate(AXE_SCRIPT)
    assert not page.evaluate(FOUND, {})
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.evaluate(SETTLED)
    assert not page.evaluate(FOUND, {"runOnly": ["color-contrast"]})  # of the rules, the one that colours matter to
