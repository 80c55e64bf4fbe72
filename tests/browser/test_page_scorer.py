"""The model in the page gives what the model in Python gives, for any picture, and one clear line for anything else."""

import base64
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import Locator, Page, expect

import clicv2lite
from clicv2lite.data import worlds
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_image, read_square
from clicv2lite.data.sources import open_images
from clicv2lite.heads.heatmap import relative, smooth

HTML = Path(__file__).parents[2] / "_build" / "html" / "book"
EXACT = 1e-3  # PNG: the pixels are the same; measured: below 1e-5
JPEG = 5e-3  # decoders round in different ways, and Python decodes a large one at a fraction of its size; measured: 1.2e-3
LISTEN = """() => document.querySelector(".scorer").addEventListener("scored", ({ detail }) => {
  const { score, name, flags, shares, map, square } = detail;
  window.last = { score, name, flags, shares: [...shares], map: [...map],
    square: btoa(Array.from(square, (byte) => String.fromCharCode(byte)).join('')) };
})"""
FOUND = """async () => (await axe.run(".scorer", { preload: false, resultTypes: ["violations"] })).violations
  .map(({ id, nodes }) => `${id}: ${nodes[0].target} ${nodes[0].failureSummary}`)"""

pytestmark = pytest.mark.skipif(not HTML.is_dir(), reason="the book is not rendered: make book")


def opened(page: Page, address: str) -> Locator:
    page.goto(address)
    box = page.locator(".scorer")
    page.evaluate(LISTEN)
    return box


def choose(box: Locator, file: Path) -> None:
    box.get_by_label("Choose a picture").set_input_files(file)


def scored(box: Locator, file: Path) -> dict[str, Any]:
    choose(box, file)
    box.page.wait_for_function("name => window.last?.name === name", arg=file.name)
    result: dict[str, Any] = box.page.evaluate("window.last")
    return result


def pictures() -> Iterator[tuple[str, Image.Image, dict[str, Any]]]:
    """Name, picture and how it is saved: ten of different sizes, shapes and kinds, JPEGs last."""
    found = {name: read_image(photographs()[name]) for name in ("coffee", "china", "chelsea", "astronaut", "page")}
    turned = Image.Exif()
    turned[0x112] = 6
    alpha = found["chelsea"].convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    made, _, _ = worlds.sample(1, seed=1, size=128)
    noise = np.random.default_rng(0).integers(0, 256, (333, 777, 3), dtype=np.uint8)
    yield "enlarged.png", found["coffee"].resize((2560, 1707)), {}
    yield "tall.png", found["astronaut"].crop((100, 0, 260, 500)), {}
    yield "transparent.png", alpha, {}
    yield "gray.png", found["page"].convert("L"), {}
    yield "palette.png", found["china"].quantize(64), {}
    yield "turned.png", found["china"], {"exif": turned}
    yield "made.png", Image.fromarray(made[0]), {}
    yield "noise.png", Image.fromarray(noise), {}
    yield "coffee.jpg", found["coffee"], {"quality": 90}
    yield "turned.jpg", found["china"].resize((3000, 2000)), {"quality": 90, "exif": turned}


def test_ten_pictures_get_pythons_score_flags_and_map_from_the_disk(visit, tmp_path):
    model, box = clicv2lite.load(), opened(visit.page, (HTML / "intro.html").as_uri())
    for file, picture, how in pictures():
        path = tmp_path / file
        picture.save(path, **how)
        got, shares = scored(box, path), model.complexity_map(path)
        if file.endswith("png"):
            want = read_square(path, model.encoder.size).permute(1, 2, 0).numpy()
            square = np.frombuffer(base64.b64decode(got["square"]), np.uint8).reshape(want.shape)
            np.testing.assert_allclose(square.astype(int), want, atol=1)  # 0 with Pillow 13
            np.testing.assert_allclose(got["map"], relative(smooth(shares)).ravel(), atol=0.02)
        assert abs(got["score"] - model.score(path)) < (EXACT if file.endswith("png") else JPEG), file
        told = box.locator(".scorer-told").inner_text()
        assert re.search(rf"{model.score(path):.2f}|{got['score']:.2f}", told) and file in told
        meant = model.rate(path)
        assert tuple(got["flags"]) == meant.flags, file
        assert re.findall(r"Take care \((\w+)\)", told) == list(meant.flags)
        meant = model.norms.rating(got["score"], ())
        among, within = re.search(r"than (\d+) of 100 pictures in a set of 8,070.*\n*.*within (0\.\d\d) of", told).groups()
        assert abs(int(among) - meant.percentile) <= 0.51
        assert float(within) == round(model.norms.half_width(got["score"]), 2)
    visit.assert_clean()


def test_photographs_get_pythons_score(visit, tmp_path):
    tar = Path(os.environ.get("CLICV2LITE_DATA", ""), "photos", "photos-000000.tar")
    if not tar.is_file():
        pytest.skip("CLICV2LITE_DATA has no photographs")
    model, box = clicv2lite.load(), opened(visit.page, (HTML / "intro.html").as_uri())
    images = open_images([str(tar)])
    for i in range(5):
        path = tmp_path / f"{i}.jpg"
        path.write_bytes(images.read(i))
        assert abs(scored(box, path)["score"] - model.score(path)) < JPEG
    visit.assert_clean()


@pytest.mark.parametrize("name", ["intro.html", "12_your_own_images.html"])
def test_nothing_is_loaded_before_it_is_asked_for_and_nothing_leaves_the_page(visit, book, name):
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    box = opened(visit.page, f"{book}/book/{name}")
    visit.page.wait_for_load_state("networkidle")
    assert not [each for each in asked if "model.js" in each]
    before = len(asked)
    box.get_by_role("button", name="Try an example").press("Enter")
    expect(box.locator(".scorer-score")).to_have_text(re.compile("coffee"))
    later = [each for each in asked[before:] if " blob:" not in each and " data:" not in each]
    assert later == [f"GET {book}/_static/scorer/model.js"]
    visit.assert_clean()


def test_anything_else_gets_one_line_and_the_box_goes_on(visit, tmp_path):
    box = opened(visit.page, (HTML / "intro.html").as_uri())
    whole, bomb = io.BytesIO(), io.BytesIO()
    Image.new("1", (9_500, 9_500)).save(bomb, "PNG")
    read_image(photographs()["coffee"]).save(whole, "JPEG")
    bad = {
        "notes.txt": (b"not a picture", "this is not an image"),
        "empty.jpg": (b"", "the file is empty"),
        "cut.jpg": (whole.getvalue()[:300], "damaged, not complete or too large"),
        "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "cannot read HEIC"),
        "scan.tif": (b"II*\0" + bytes(99), "cannot read TIFF"),
        "bomb.png": (bomb.getvalue(), "more than 89,478,485 pixels"),
    }
    problem = box.get_by_role("alert")
    for name, (data, words) in bad.items():
        (tmp_path / name).write_bytes(data)
        choose(box, tmp_path / name)
        expect(problem).to_have_text(re.compile(f"^{re.escape(name)}: .*{re.escape(words)}.*; "))
        assert "\n" not in problem.inner_text()
    with (tmp_path / "huge.jpg").open("wb") as huge:
        huge.truncate(8 * 2**30)  # sparse: it takes no room
    choose(box, tmp_path / "huge.jpg")
    expect(problem).to_have_text("huge.jpg: 8.0 GB, and 1 GB is the most; make the image smaller first")
    Image.new("RGB", (1, 1), (200, 30, 90)).save(tmp_path / "one.png")
    got = scored(box, tmp_path / "one.png")
    assert abs(got["score"] - clicv2lite.load().score(tmp_path / "one.png")) < EXACT
    expect(problem).to_be_empty()
    expect(box.locator(".scorer-wait")).to_be_hidden()


def test_a_dropped_picture_is_scored_and_the_last_of_two_counts(visit, tmp_path):
    box = opened(visit.page, (HTML / "intro.html").as_uri())
    for name, picture in (("first", "coffee"), ("second", "text")):
        read_image(photographs()[picture]).resize((60, 40)).save(tmp_path / f"{name}.png")
    choose(box, tmp_path / "first.png")
    expect(box.locator(".scorer-wait")).to_contain_text("Scoring first.png")  # the worker has it, and answers later
    data = visit.page.evaluate_handle("""bytes => { const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], "second.png", { type: "image/png" })); return data; }""",
      list((tmp_path / "second.png").read_bytes()))  # fmt: skip
    box.dispatch_event("drop", {"dataTransfer": data})
    expect(box.locator(".scorer-score")).to_have_text(re.compile("second.png"))
    expect(box.locator(".scorer-list li")).to_have_count(1)
    score = clicv2lite.load().score(tmp_path / "second.png")
    assert visit.page.evaluate("window.last.score") == pytest.approx(score, abs=EXACT)
    visit.assert_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_box_is_for_keys_and_screen_readers_and_fits_a_phone(visit, tmp_path, scheme, width):
    page = visit.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 800})
    box = opened(page, (HTML / "intro.html").as_uri())
    box.get_by_label("Choose a picture").focus()
    page.keyboard.press("Tab")
    if page.evaluate("document.activeElement.tagName") == "INPUT":  # "Take a photograph", on a touch screen
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Try an example
    expect(box.locator("[aria-live=polite]")).to_have_text(
        re.compile(r"0\.\d\d of 1: the complexity of coffee.jpg.* seconds", re.S)
    )
    shows, layer = box.get_by_label("Show which places count"), box.locator(".scorer-map")
    shows.press("Space")
    expect(layer).to_be_hidden()
    shows.press("Space")
    expect(layer).to_be_visible()
    assert "coffee.jpg" in box.get_by_role("img").get_attribute("aria-label")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.evaluate(AXE_SCRIPT)
    assert not page.evaluate(FOUND)
    visit.assert_clean()
