import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from clicv2lite.cli import main
from clicv2lite.models.norms import Norms
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.gallery import write_gallery


class Page(HTMLParser):
    """The pictures, figures and ids of a page."""

    def __init__(self, text):
        super().__init__()
        self.images, self.figures, self.ids, self.links = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {found["id"]} if "id" in found else set()
        self.links += [found[key] for key in ("href", "src") if key in found]
        if tag == "img":
            self.images.append(found)
        if tag == "figure":
            self.figures.append(found)


@pytest.fixture
def rows(tmp_path):
    found = []
    for i in range(7):
        path = tmp_path / f"{i}.jpg"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (900, 700, 3), dtype=np.uint8)).save(path)
        found.append(ImageRow(str(path), path, score=(3 * i % 7) / 10))
    return [*found, ImageRow("bad.jpg", tmp_path, error="bad.jpg: no image")]


def shown(page):
    return [float(score) for score in re.findall(r"<strong>([\d.]+)</strong>", page)]


@pytest.mark.parametrize("count, want", [(2, [0.6, 0.5, 0.0, 0.1]), (5, [0.6, 0.5, 0.4, 0.3, 0.2, 0.0, 0.1]),
                                         (50, [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])])  # fmt: skip
def test_the_most_complex_come_first_then_the_least_and_none_twice(rows, tmp_path, count, want):
    write_gallery(tmp_path / "top.html", rows, count)
    text = (tmp_path / "top.html").read_text()
    assert shown(text) == want and "of 7 images" in text and "1 more could not be scored" in text


def test_the_page_is_one_file_with_small_pictures_that_say_what_they_are(rows, tmp_path):
    write_gallery(tmp_path / "top.html", rows, 3)
    text = (tmp_path / "top.html").read_text()
    page = Page(text)
    assert len(page.images) == len(page.figures) == 6 and all(figure["tabindex"] == "0" for figure in page.figures)
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in page.links) and "http" not in text
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    for image in page.images:
        picture = Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1])))
        assert picture.format == "JPEG" and max(picture.size) == 320
        assert re.fullmatch(r"\d\.jpg, number \d of the (most|least) complex images, score 0\.\d00", image["alt"])


def test_the_page_says_what_the_scores_are_and_what_each_means(rows, tmp_path):
    norms = Norms("made up", "0" * 16, np.array([0.0, 0.2, 0.4, 0.6, 1.0]), edges=np.empty(0), half=np.array([0.15]))
    skewed = [replace(row, score=score) for row, score in zip(rows[:5], (0.0, 0.2, 0.3, 0.8, 0.9), strict=True)]
    skewed[1] = replace(skewed[1], flags=("small", "text"))
    write_gallery(tmp_path / "top.html", skewed, 5, norms)
    text = (tmp_path / "top.html").read_text()
    assert "median 0.300, from 0.000 to 0.900." in text
    assert "<strong>0.200</strong>1.jpg<br>percentile 25<br>interval 0.05 to 0.35<br>flags: small, text</figcaption>" in text
    assert "<strong>0.800</strong>3.jpg<br>percentile 88<br>interval 0.65 to 0.95</figcaption>" in text


def test_names_cannot_become_markup_and_a_picture_that_has_gone_is_said(rows, tmp_path):
    odd = tmp_path / '<b onclick="x">&.png'
    Image.new("RGB", (3, 3)).save(odd)
    write_gallery(tmp_path / "top.html", [ImageRow(str(odd), odd, score=0.9), ImageRow("gone.png", odd, score=0.1)], 2)
    text = (tmp_path / "top.html").read_text()
    assert "<b " not in text and "&lt;b onclick=&quot;x&quot;&gt;&amp;.png" in text
    assert "gone.png: there is no such file" in text


def test_a_picture_of_a_file_with_a_long_comment_is_shown(tmp_path):
    path = tmp_path / "a.gif"
    Image.new("L", (9, 9)).save(path, comment=b"x" * 70_000)
    write_gallery(tmp_path / "top.html", [ImageRow(str(path), path, score=0.5)], 1)
    assert "data:image/jpeg;base64," in (tmp_path / "top.html").read_text()


def test_top_without_a_place_is_a_page_in_this_folder(photos, models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["score", "--model", models[0], "photos", "--top", "2"]) == 0
    assert len(Page((tmp_path / "complexity.html").read_text()).images) == 4 and capsys.readouterr().out == ""
    monkeypatch.chdir(photos)
    assert main(["score", "--model", models[0], ".", "--top", "2"]) == 2
    assert "complexity.html" in capsys.readouterr().err
