"""What a page loads before its reader does anything: the bytes that a plain server sends, without compression."""

import re
from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)
PAGES = [p for p in PAGES if p != "index.html"]  # it only leads on
MOST = 1_500_000
SETTLED = """async () => {
  while (window.MathJax && !MathJax.startup?.promise) await new Promise((done) => setTimeout(done, 20));
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
}"""


@pytest.mark.parametrize("path", PAGES)
def test_first_view_of_a_page_weighs_at_most_one_and_a_half_megabytes(visit, book, path):
    session, sent, addresses = visit.page.context.new_cdp_session(visit.page), {}, {}
    session.on("Network.requestWillBeSent", lambda event: addresses.update({event["requestId"]: event["request"]["url"]}))
    session.on("Network.loadingFinished", lambda event: sent.update({event["requestId"]: event["encodedDataLength"]}))
    session.send("Network.enable")
    visit.page.goto(f"{book}/{path}", wait_until="load")
    visit.page.evaluate(SETTLED)
    visit.page.wait_for_load_state("networkidle")
    loaded = sorted(((size, addresses[name].removeprefix(book)) for name, size in sent.items()), reverse=True)
    total = sum(size for size, address in loaded if not address.startswith(("data:", "blob:")))
    print(f"{total / 1e6:.2f} MB {path}")  # pytest -s: the table
    assert 10_000 < total <= MOST, loaded[:12]


@pytest.mark.parametrize("path", [path for path in PAGES if re.match(r"book/\d", path)])
def test_all_pictures_of_a_chapter_come_when_they_are_reached_at_the_size_that_was_kept_for_them(visit, book, path):
    visit.page.goto(f"{book}/{path}", wait_until="load")
    images = visit.page.locator('.bd-article img[src*="_images/"]')
    kept = images.evaluate_all("images => images.map((e) => [e.width / e.height, e.getAttribute('src').split('.').pop()])")
    assert {kind for _, kind in kept} <= {"webp"}
    for image, (shape, _) in zip(images.all(), kept, strict=True):
        if not image.evaluate("e => e.checkVisibility()"):
            continue  # folded
        image.scroll_into_view_if_needed()
        image.evaluate("async (e) => { await e.decode(); }")
        assert abs(image.evaluate("e => e.naturalWidth / e.naturalHeight") / shape - 1) < 0.02
    visit.assert_clean()
