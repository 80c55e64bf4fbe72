"""The most and the least complex images as one HTML page that needs no other file (book chapter 12)."""

import base64
import html
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

from clicv2lite.errors import UserError, one_line
from clicv2lite.files import write_bytes
from clicv2lite.models.norms import Norms
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.meaning import mixture

SIDE = 320  # longest side of a thumbnail, pixels
QUALITY = 80

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} of {count} images</title>
<style>
:root {{ color-scheme: light dark; --back: #fff; --ink: #1b1b1f; --soft: #5a5a63; --card: #f2f2f5; --line: #0b62c4 }}
@media (prefers-color-scheme: dark) {{
  :root {{ --back: #17171a; --ink: #ececf0; --soft: #a9a9b4; --card: #232328; --line: #7ab8ff }}
}}
* {{ box-sizing: border-box }}
body {{ margin: 0 auto; max-width: 90rem; padding: 1rem clamp(.75rem, 3vw, 2.5rem) 3rem; background: var(--back);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }}
h1 {{ font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 }}
h2 {{ font-size: 1.15rem; margin: 2rem 0 .75rem }}
p {{ color: var(--soft); margin: .25rem 0 }}
a {{ color: var(--line) }}
nav {{ display: flex; gap: 1.25rem; margin: .75rem 0 }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 10rem), 1fr)); gap: .75rem; padding: 0;
  margin: 0; list-style: none }}
figure {{ margin: 0; height: 100%; background: var(--card); border-radius: .5rem; overflow: hidden }}
figure:focus-visible, a:focus-visible {{ outline: 3px solid var(--line); outline-offset: 2px }}
img {{ display: block; width: 100%; aspect-ratio: 1; object-fit: contain }}
figcaption {{ padding: .4rem .6rem .6rem; overflow-wrap: anywhere; font-size: .85rem; color: var(--soft) }}
strong {{ display: block; font-size: 1.05rem; color: var(--ink); font-variant-numeric: tabular-nums }}
@media (max-width: 30rem) {{ ol {{ grid-template-columns: repeat(2, minmax(0, 1fr)) }} }}
</style>
</head>
<body>
<main>
<h1>{title} of {count} images</h1>
<p>Complexity from 0 to 1 as clicv2lite scores it: median {median:.3f}, from {lowest:.3f} to {highest:.3f}.{failed}</p>
{mixed}<nav aria-label="Parts of this page"><a href="#most">Most complex</a>{link}</nav>
{parts}
</main>
</body>
</html>
"""


def write_gallery(path: Path, rows: Sequence[ImageRow], count: int, norms: Norms | None = None) -> None:
    """Write a page of the `count` most and the `count` least complex images, each part sorted, no image in both.

    Args:
        path: the HTML file; thumbnails are inside it, as JPEG.
        rows: scored rows; those with an error are counted, not shown.
        norms: what a score means, for the lines below it.
    """
    scored = sorted((row for row in rows if row.score is not None), key=_score, reverse=True)
    most, least = scored[:count], scored[count:][-count:][::-1]
    parts = [_part("most", "Most complex", most, norms)] + [_part("least", "Least complex", least, norms)] * bool(least)
    levels = [_score(row) for row in scored] or [0.0]
    failed = len(rows) - len(scored)
    page = PAGE.format(
        title="Most and least complex" if least else "Most complex",
        count=f"{len(scored):,}",
        median=statistics.median(levels),
        lowest=levels[-1],
        highest=levels[0],
        failed=f" {failed:,} more could not be scored." if failed else "",
        mixed=f'<p role="note">{html.escape(mixed)}.</p>\n' if (mixed := mixture(rows, norms)) else "",
        link='<a href="#least">Least complex</a>' if least else "",
        parts="\n".join(parts),
    )
    write_bytes(path, page.encode("utf-8"))


def _score(row: ImageRow) -> float:
    assert row.score is not None
    return row.score


def _part(name: str, title: str, rows: Sequence[ImageRow], norms: Norms | None) -> str:
    cards = "\n".join(_card(row, rank, title.lower(), norms) for rank, row in enumerate(rows, 1))
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{title}</h2>\n<ol>\n{cards}\n</ol>\n</section>'


def _card(row: ImageRow, rank: int, title: str, norms: Norms | None) -> str:
    name = html.escape(one_line(row.image))
    short = html.escape(one_line(Path(row.image).name))
    alt = f"{short}, number {rank} of the {title} images, score {_score(row):.3f}"
    try:
        picture = f'<img src="data:image/jpeg;base64,{_thumbnail(row)}" alt="{alt}" loading="lazy">'
    except UserError as error:  # the file was readable when it was scored
        picture = f"<p>{html.escape(str(error))}</p>"
    caption = f"<figcaption><strong>{_score(row):.3f}</strong>{short}{_about(row, norms)}</figcaption>"
    return f'<li><figure tabindex="0" title="{name}">{picture}{caption}</figure></li>'


def _about(row: ImageRow, norms: Norms | None) -> str:
    """The percentile, the interval and the flags as further lines; "" without any."""
    lines = []
    if norms:
        rating = norms.rating(_score(row), row.flags or ())
        lines.append(f"percentile {rating.percentile:.0f}")
        if rating.low is not None:
            lines.append(f"interval {rating.low:.2f} to {rating.high:.2f}")
    if row.flags:
        lines.append(f"flags: {', '.join(row.flags)}")
    return "".join(f"<br>{line}" for line in lines)


def _thumbnail(row: ImageRow) -> str:
    image = row.picture(at_least=2 * SIDE)
    image.thumbnail((SIDE, SIDE), reducing_gap=3.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, comment=b"")  # without that of the file, which may be too long
    return base64.b64encode(buffer.getvalue()).decode("ascii")
