"""Make one PDF of the rendered book, `_build/book.pdf`: `make pdf`.

Chromium prints each page of `_build/html` as `book/_static/print.css` says, and pypdf
puts them together: a table of contents, page numbers, links between chapters, and a
bookmark for each heading. The package's reference, `book/api`, stays on the web.
"""

import io
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
LEFT_OUT = "book/api"
WIDTH = 680  # px: what the margins leave of A4
SHEET = {
    "format": "A4",
    "margin": {"top": "17mm", "bottom": "20mm", "left": "15mm", "right": "15mm"},
    "print_background": True,
    "outline": True,  # of headings, which Chromium finds only if it tags them
    "tagged": True,
}
WAIT = 300_000  # ms, which only a page that hangs is waited for
# Everything that comes late on a screen, and what is folded and belongs to the text.
READY = """async () => {
  document.documentElement.dataset.theme = "light";
  for (const e of document.querySelectorAll("article details")) {
    if (e.closest(".tag_plot, .tag_glue")) continue;
    e.removeAttribute("name"); // of questions: else one open answer closes the others
    e.open = true;
  }
  for (const e of document.querySelectorAll(".toggle-hidden"))
    e.classList.remove("toggle-hidden");
  dispatchEvent(new Event("beforeprint")); // the widgets
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((image) => image.decode()));
  const pause = () => new Promise((done) => setTimeout(done, 50));
  if (window.MathJax) {
    while (!MathJax.startup?.promise) await pause();
    await MathJax.startup.promise;
  }
  while (document.querySelector(".widget-static:empty")) await pause();
  await document.fonts.ready;
}"""
CONTENTS = """<!doctype html><html lang="en"><meta charset="utf-8"><style>
  body {{ font: 11pt/1.5 "DejaVu Sans", sans-serif; }}
  header {{ margin: 5cm 0 4cm; text-align: center; font-size: 24pt; line-height: 1.3; }}
  header p {{ font-size: 12pt; }}
  h1, h2 {{ font-weight: 500; }} h2 {{ margin: 1.2rem 0 0.3rem; font-size: 12pt; }}
  h1 {{ break-before: page; font-size: 18pt; }}
  a {{ display: flex; color: inherit; text-decoration: none; break-inside: avoid; }}
  i {{ flex: 1; margin: 0 0.5rem 0.4rem; border-bottom: 1px dotted #888; }}
</style><header>{title}<p>{author}</p></header><h1>Contents</h1>{lines}</html>"""
NUMBERS = """<!doctype html><style>
  p {{ position: relative; height: 296mm; margin: 0; break-after: page; }}
  p:last-child {{ break-after: auto; }}
  span {{ position: absolute; bottom: 9mm; width: 100%; text-align: center; }}
  body {{ margin: 0; font: 9pt "DejaVu Sans", sans-serif; }}
</style>{pages}"""


def parts(root: Path = ROOT) -> list[tuple[str, list[str]]]:
    """The caption of each part of the book, and the pages in it; the first has none."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = [("", [toc["root"]])]
    for part in toc["parts"]:
        pages = [page["file"] for page in part["chapters"]]
        kept = [page for page in pages if not page.startswith(LEFT_OUT)]
        if kept:
            found.append((part["caption"], kept))
    return found


def edition(
    browser: Browser, wanted: list[tuple[str, list[str]]], html: Path
) -> PdfWriter:
    """The pages of a rendered book as one document."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    page = browser.new_page(
        viewport={"width": WIDTH, "height": 1000}, color_scheme="light"
    )
    page.set_default_timeout(WAIT)

    def sheets(text: str, **options: Any) -> PdfReader:
        page.set_content(text)
        return PdfReader(io.BytesIO(page.pdf(**SHEET | options)))

    printed: dict[str, PdfReader] = {}
    titles: dict[str, str] = {}
    for name in [name for _, names in wanted for name in names]:
        page.goto((html / f"{name}.html").as_uri())
        page.evaluate(READY)
        title = (
            "(e) => { e.querySelector('.headerlink')?.remove(); return e.innerText; }"
        )
        titles[name] = page.locator("article h1").first.evaluate(title).strip()
        printed[name] = PdfReader(io.BytesIO(page.pdf(**SHEET)))

    def contents(before: int) -> PdfReader:
        lines, number = [], before
        for caption, names in wanted:
            lines.append(f"<h2>{escape(caption)}</h2>" if caption else "")
            for name in names:
                uri = (html / f"{name}.html").as_uri()
                text = f"{escape(titles[name])}<i></i>{number + 1}"
                lines.append(f'<a href="{escape(uri)}">{text}</a>')
                number += len(printed[name].pages)
        about = {key: escape(settings[key]) for key in ("title", "author")}
        return sheets(CONTENTS.format(lines="".join(lines), **about))

    writer, starts = PdfWriter(), {}
    before = len(
        contents(0).pages
    )  # the numbers do not change how many sheets they need
    writer.append(contents(before))
    for name, reader in printed.items():
        starts[(html / f"{name}.html").as_uri()] = len(writer.pages)
        writer.append(reader)
    link(writer, html.as_uri(), starts)
    number_pages(writer, sheets)
    page.close()
    writer.add_metadata({"/Title": settings["title"], "/Author": settings["author"]})
    return writer


def link(writer: PdfWriter, root: str, starts: dict[str, int]) -> None:
    """Links to pages of the book lead to their first sheet, others nowhere."""
    for sheet in writer.pages:
        kept = ArrayObject()
        for reference in sheet.annotations or ():
            annotation = reference.get_object()
            uri = annotation.get("/A", {}).get("/URI", "").partition("#")[0]
            if uri in starts:
                target = writer.pages[starts[uri]].indirect_reference
                fit = [target, NameObject("/Fit")]
                annotation[NameObject("/Dest")] = ArrayObject(fit)
                del annotation["/A"]
            if uri in starts or not uri.startswith(root):
                kept.append(reference)
        if kept:
            sheet[NameObject("/Annots")] = kept
        elif "/Annots" in sheet:
            del sheet["/Annots"]


def number_pages(writer: PdfWriter, sheets: Callable[..., PdfReader]) -> None:
    """A number at the foot of each sheet but the first, the title."""
    numbers = range(1, len(writer.pages) + 1)
    text = "".join(f"<p><span>{n if n > 1 else ''}</span></p>" for n in numbers)
    drawn = sheets(NUMBERS.format(pages=text), margin={}, print_background=False)
    assert len(drawn.pages) == len(writer.pages)
    for sheet, number in zip(writer.pages, drawn.pages, strict=True):
        sheet.merge_page(number)
        sheet.compress_content_streams()  # merging has unpacked it


def main(chromium: str) -> None:
    target = ROOT / "_build" / "book.pdf"
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        edition(browser, parts(), HTML).write(partial := target.with_suffix(".partial"))
        browser.close()
    partial.replace(target)
    print(target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("print_edition.py: name the program of Chromium; run make pdf")
    main(sys.argv[1])
