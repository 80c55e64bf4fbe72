"""A citation shows its reference to the pointer and to the keyboard, from the disk."""

import re
from pathlib import Path

from playwright.sync_api import expect

HTML = Path(__file__).parents[2] / "_build" / "html" / "book"


def test_card_shows_the_reference_under_pointer_and_focus_and_closes_by_escape(visit):
    page = visit.page
    page.goto((HTML / "01_complexity.html").as_uri(), wait_until="load")
    cited, card = page.locator('article a[href*="references.html#"]', has_text="Donderi"), page.locator("#citation-card")
    expect(card).to_be_hidden()
    cited.hover()
    expect(card).to_have_text(re.compile(r"Don C\. Donderi\. Visual complexity: a review\. Psychological Bulletin"))
    below, link = card.bounding_box(), cited.bounding_box()
    assert link["y"] + link["height"] <= below["y"] <= link["y"] + link["height"] + 20 or below["y"] < link["y"]
    card.hover()  # the pointer may go into it, to select the text
    page.wait_for_timeout(400)
    expect(card).to_be_visible()
    page.mouse.move(5, 5)
    expect(card).to_be_hidden()
    page.locator("article h1").click()  # focus elsewhere
    cited.focus()
    expect(card).to_be_visible()
    assert cited.get_attribute("aria-describedby") == card.get_attribute("id") and card.get_attribute("role") == "tooltip"
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    assert cited.get_attribute("aria-describedby") is None
    visit.assert_clean()


def test_card_fits_a_phone_and_every_citation_has_its_own_reference(visit):
    page = visit.page
    page.set_viewport_size({"width": 390, "height": 700})
    page.goto((HTML / "08_probing.html").as_uri(), wait_until="load")
    listed = (HTML / "references.html").read_text(encoding="utf-8")
    links, card = page.locator('article a[href*="references.html#"]'), page.locator("#citation-card")
    assert links.count() > 3
    for link in links.all():
        link.focus()
        expect(card).to_be_visible()
        box = card.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] >= 0 and box["y"] + box["height"] <= 700
        target = link.get_attribute("href").partition("#")[2]
        entry = re.search(rf'<div class="citation" id="{target}".*?<p>(.*?)</p>', listed, re.DOTALL)[1]
        words = re.sub(r"\W+", "", re.sub(r"<[^>]+>|&\w+;", "", entry))
        assert re.sub(r"\W+", "", card.inner_text())[:30] == words[:30]
    visit.assert_clean()
