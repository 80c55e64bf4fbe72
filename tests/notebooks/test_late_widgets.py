"""The state of a page's widgets leaves the page for a script of its own, which the page names."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("sphinx")

PIXELS = '{"state": {"a": {"pixels": "AAAA<\\/script>"}}}'  # as myst-nb escapes it


def page(extension, folder, scripts: list[Any]) -> list[dict[str, str]]:
    added: list[dict[str, str]] = []
    app = SimpleNamespace(outdir=folder, add_js_file=lambda name, **attributes: added.append(attributes))
    context = {"script_files": scripts, "pathto": lambda name, resource: f"../{name}"}
    extension("late_widgets")._take_out(app, "book/03_shifted_patchify", "page.html", context, None)
    return added


def test_state_is_written_beside_the_page_once_and_named_with_its_digest(extension, tmp_path):
    state = SimpleNamespace(attributes={"type": extension("late_widgets").STATE, "body": PIXELS})
    scripts = ["old.js", SimpleNamespace(attributes={"body": "MathJax = {}"}), state]
    (added,) = page(extension, tmp_path, scripts)
    assert state not in scripts and len(scripts) == 2
    name, _, digest = added["data-src"].partition("?v=")
    assert name == "../_static/widgets/book/03_shifted_patchify.js" and len(digest) == 8
    text = (tmp_path / name.removeprefix("../")).read_text(encoding="utf-8")
    assert json.loads(text.removeprefix("globalThis.anywidgetState = ").removesuffix(";\n")) == json.loads(PIXELS)
    state.attributes["body"] = PIXELS.replace("AAAA", "AAAB")
    (other,) = page(extension, tmp_path, [state])
    assert other["data-src"].partition("?v=")[0] == name and other["data-src"] != added["data-src"]


def test_page_without_widgets_stays_as_it_is(extension, tmp_path):
    scripts = ["old.js", SimpleNamespace(attributes={"body": "MathJax = {}"})]
    assert page(extension, tmp_path, scripts) == [] and len(scripts) == 2 and not list(tmp_path.iterdir())
