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
# What the contrast of a text depends on, colour, size and what lies behind it, it shares with most others: one of each stays.
# Something that is placed over others may have anything behind it, so all texts in it are looked at.
LOOKS = """() => {
  const ids = new Map([["", 0]]), behind = new Map(), found = [];
  const id = (text) => (ids.has(text) ? ids : ids.set(text, ids.size)).get(text);
  const ground = (e) => {
    if (!e) return 0;
    if (!behind.has(e)) {
      const s = getComputedStyle(e), up = ground(e.parentElement);
      const clear = s.backgroundColor === "rgba(0, 0, 0, 0)" && s.backgroundImage === "none";
      const plain = clear && s.opacity === "1" && s.filter === "none" && s.mixBlendMode === "normal";
      const placed = ["absolute", "fixed", "sticky"].includes(s.position) ? `placed ${behind.size}` : "";
      const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.mixBlendMode, placed].join();
      behind.set(e, plain && !placed ? up : id(`${up} ${own}`));
    }
    return behind.get(e);
  };
  for (const e of document.body.querySelectorAll("*")) {
    const text = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!(text || e.matches("input, select, textarea, button")) || !e.checkVisibility({ visibilityProperty: true })) continue;
    const s = getComputedStyle(e);
    const look = `${ground(e)} ${[s.color, s.fontSize, s.fontWeight, s.textShadow, s.webkitTextFillColor, s.opacity].join()}`;
    const { left, right, width, height } = e.getBoundingClientRect();
    const away = right <= 0 || left >= innerWidth || width < 2 || height < 2; // read aloud only
    if (text && !away && ids.has(`text ${look}`)) continue;
    id(`text ${look}`);
    found.push(e);
  }
  return found;
}"""
SETTLED = """async () => {
  await window.MathJax?.startup?.promise;
  await Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})));
}"""
FOUND = """async ([options, where]) =>
  (await axe.run(where, { preload: false, resultTypes: ["violations"], ...options })).violations
  .filter(({ id, impact }) => ["serious", "critical"].includes(impact) || ["region", "empty-table-header"].includes(id))
  .flatMap(({ id, nodes }) => nodes.map(({ target, any, all, none }) =>
    `${id}: ${target} (${[...any, ...all, ...none].map(({ message }) => message)[0]})`))"""
NAMELESS = """() => [...document.querySelectorAll("img, canvas, svg, [role=img]")]
  .filter((e) => !e.closest("[aria-hidden=true]") && !(e.tagName !== "IMG" && e.closest("button, a")) && e.checkVisibility())
  .filter((e) => !(e.alt ?? e.ariaLabel ?? e.querySelector("title")?.textContent ?? "").trim())
  .map((e) => e.outerHTML.slice(0, 120))"""


ALL_BUT_CONTRAST = {"rules": {"color-contrast": {"enabled": False}}}
CONTRAST = {"runOnly": ["color-contrast"]}  # of the rules, the one that colours matter to, and that takes most of the time


def low_contrast(page):
    return page.evaluate(FOUND, [CONTRAST, page.evaluate_handle(LOOKS)])


@pytest.mark.parametrize("path", PAGES)
def test_page_has_no_serious_barrier_in_light_and_dark_and_names_its_pictures(visit, book, path):
    page = visit.page
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(f"{book}/{path}", wait_until="load")
    visit.draw_widgets()
    page.evaluate(SETTLED)
    assert not page.evaluate(NAMELESS)
    page.evaluate(ONE_OF_A_KIND)
    page.evaluate(AXE_SCRIPT)
    assert not page.evaluate(FOUND, [ALL_BUT_CONTRAST, "html"])
    assert not low_contrast(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.evaluate(SETTLED)
    assert not low_contrast(page)


FAINT = """
<html lang="en"><body style="background: white; color: black"><p>black <em>on white</em></p><p>black on white again</p>
<p id="faint" style="color: #aaa">grey on white</p><p style="color: #aaa">the same grey on white</p>
<div style="background: black; color: #aaa"><p>grey on black</p><p id="lost" style="color: #444">dark on black</p></div>
<div style="opacity: 0.4"><p id="veiled">black, but through a veil</p></div>
<div style="position: relative; height: 40px"><p id="over" style="position: absolute; background: #333">black on grey</p>
<p style="position: absolute; left: 200px; background: #333" id="beside">black on grey elsewhere</p></div></body></html>"""


def test_of_texts_that_look_alike_one_is_checked_and_of_those_that_differ_each(visit):
    page = visit.page
    page.set_content(FAINT)
    page.evaluate(AXE_SCRIPT)
    found = low_contrast(page)
    assert [line.partition(" (")[0] for line in found] == [
        f"color-contrast: #{name}" for name in ("faint", "lost", "veiled", "over", "beside")
    ]
