"""The script that draws widgets in a page without a kernel, on small pages made for it."""

import base64
import json
from pathlib import Path

HOST = Path(__file__).parents[2] / "book" / "_ext" / "static" / "offline" / "anywidget-host.js"
COUNTER = """
export default { render({ model, el }) {
  const button = document.createElement("button");
  const show = () => { button.textContent = model.get("count"); };
  button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
  model.on("change:count", show);
  show();
  el.append(button);
} };
"""


def entry(esm: str = COUNTER, buffers: list[dict] | None = None, **state: object) -> dict:
    return {
        "model_name": "AnyModel",
        "model_module": "anywidget",
        "state": {"_model_module": "anywidget", "_esm": esm, **state},
        "buffers": buffers or [],
    }


def page(folder: Path, models: dict[str, dict], views: list[str]) -> None:
    def script(kind: str, body: object) -> str:
        return f'<script type="application/vnd.jupyter.widget-{kind}+json">{json.dumps(body)}</script>'

    state = script("state", {"version_major": 2, "version_minor": 0, "state": models})
    shown = "".join(f"<div>{script('view', {'model_id': name})}</div>" for name in views)
    (folder / "host.js").write_text(HOST.read_text())
    (folder / "index.html").write_text(
        f'<!doctype html><link rel="icon" href="data:,"><script src="host.js"></script>{state}{shown}'
    )


def link(name: str, source: str, target: str) -> dict:
    return {
        "model_name": name,
        "model_module": "@jupyter-widgets/controls",
        "state": {"source": [f"IPY_MODEL_{source}", "count"], "target": [f"IPY_MODEL_{target}", "count"]},
    }


def test_two_views_of_one_model_move_together_and_another_model_does_not(visit, folder_server):
    folder, address = folder_server
    page(folder, {"a": entry(count=3), "b": entry(count=7)}, ["a", "a", "b"])
    visit.page.goto(address)
    buttons = visit.page.locator("button")
    buttons.nth(2).wait_for()
    buttons.nth(0).click()
    assert buttons.all_text_contents() == ["4", "4", "7"]
    visit.assert_clean()


def test_jslink_copies_both_ways_and_jsdlink_one_way(visit, folder_server):
    folder, address = folder_server
    models = {name: entry(count=n) for n, name in enumerate("abc")}
    models["l"] = link("LinkModel", "a", "b")
    models["d"] = link("DirectionalLinkModel", "b", "c")
    page(folder, models, ["a", "b", "c"])
    visit.page.goto(address)
    buttons = visit.page.locator("button")
    buttons.nth(2).wait_for()
    assert buttons.all_text_contents() == ["0", "0", "0"]
    buttons.nth(1).click()
    assert buttons.all_text_contents() == ["1", "1", "1"]
    buttons.nth(2).click()
    assert buttons.all_text_contents() == ["1", "1", "2"]


def test_bytes_arrive_as_a_data_view(visit, folder_server):
    folder, address = folder_server
    esm = """export default { render({ model, el }) {
      const v = model.get("pixels"); el.textContent = [v.byteLength, v.getUint8(0), v.getUint8(2)].join();
    } };"""
    data = base64.b64encode(bytes([255, 0, 128])).decode()
    buffers = [{"path": ["pixels"], "encoding": "base64", "data": data}]
    page(folder, {"a": entry(esm, buffers)}, ["a"])
    visit.page.goto(address)
    visit.page.locator(".widget-static", has_text="3,255,128").wait_for()


def test_change_is_announced_once_and_only_if_something_changed(visit, folder_server):
    folder, address = folder_server
    esm = """export default () => ({ render({ model, el }) {
      const heard = [];
      const count = () => heard.push("count");
      model.on("change:count", count);
      model.on("change", () => heard.push("any"));
      model.set("count", 1); model.set({ count: 2, other: 5 });
      model.off("change:count", count); model.set("count", 3);
      el.textContent = heard.join();
    } });"""
    page(folder, {"a": entry(esm, count=1, other=0)}, ["a"])
    visit.page.goto(address)
    visit.page.locator(".widget-static", has_text="count,any,any").wait_for()


def test_stock_widget_gets_a_line_of_text_and_the_next_one_still_works(visit, folder_server):
    folder, address = folder_server
    slider = {"model_name": "IntSliderModel", "state": {"_model_module": "@jupyter-widgets/controls", "value": 1}}
    page(folder, {"s": slider, "a": entry(count=0)}, ["s", "a"])
    visit.page.goto(address)
    visit.page.locator("button").wait_for()
    assert "JupyterLab" in visit.page.locator(".widget-note").inner_text()
    visit.assert_clean()


def test_broken_widget_says_so_on_the_page(visit, folder_server):
    folder, address = folder_server
    page(folder, {"a": entry("export default { render() { throw new Error('no canvas'); } };")}, ["a"])
    visit.page.goto(address)
    note = visit.page.locator(".widget-note")
    note.wait_for()
    assert "no canvas" in note.inner_text()
    assert len(visit.errors) == 1


def test_state_in_a_file_is_loaded_when_the_reader_comes_near_a_view_or_prints(visit, folder_server):
    folder, address = folder_server
    page(folder, {"a": entry(count=3), "b": entry(count=7)}, ["a", "b"])
    html = (folder / "index.html").read_text()
    state = json.dumps({"state": {"a": entry(count=3), "b": entry(count=7)}})
    (folder / "state.js").write_text(f"globalThis.anywidgetState = {state};")
    tag = '<script type="application/vnd.jupyter.widget-state+json"'
    assert html.count(tag) == 1
    before, _, after = html.partition(tag)
    views = after.partition("</script>")[2].replace("<div>", '<div style="padding-top: 3000px">')
    (folder / "index.html").write_text(f'{before}{tag} data-src="state.js"></script>{views}')
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.page.goto(address)
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.locator(".widget-static").count() == 2 and visit.page.locator("button").count() == 0
    assert not [url for url in asked if "state.js" in url]
    visit.page.evaluate("scrollTo(0, 2900)")
    visit.page.locator("button").wait_for()
    assert visit.page.locator("button").all_text_contents() == ["3"]  # the other is still far away
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    visit.page.locator("button").nth(1).wait_for()
    assert visit.page.locator("button").all_text_contents() == ["3", "7"]
    assert len([url for url in asked if "state.js" in url]) == 1
    visit.assert_clean()


def test_missing_file_of_a_state_is_said_on_the_page(visit, folder_server):
    folder, address = folder_server
    page(folder, {"a": entry(count=3)}, ["a"])
    html = (folder / "index.html").read_text()
    inline = html[html.index('widget-state+json">') + len('widget-state+json"') : html.index("</script><div>")]
    (folder / "index.html").write_text(html.replace(inline, ' data-src="gone.js">'))
    visit.page.goto(address)
    assert "gone.js is missing" in visit.page.locator(".widget-note").inner_text()
    assert visit.page.locator(".widget-static").count() == 0
