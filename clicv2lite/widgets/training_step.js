// A training step in the browser: one station at a time, its part of the plan marked. Python made every picture and number.

const MOVES = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };

export function reached(from, key, count) { // the station that a key leads to; null if the key is not one of these
  return key in MOVES ? Math.min(count - 1, Math.max(0, from + MOVES[key])) : null;
}

function render({ model, el }) {
  const stations = model.get("stations"), last = stations.length - 1;
  const button = (text) => keepKeys(make("button", { type: "button" }, text));
  const [back, next] = ["Back", "Next"].map(button), count = make("span", { "aria-hidden": "true" });
  const [picture, title, words, shapes] = [["div", "picture"], ["p", "title"], ["p", "words"], ["p", "shapes"]]
    .map(([tag, name]) => make(tag, { class: `step-${name}` }));
  const text = make("div", { "aria-live": "polite" }, title, words, shapes);
  const plan = make("figure", { class: "step-plan" });
  plan.innerHTML = model.get("diagram"); // made by step_drawings.py, as are the pictures
  plan.append(make("figcaption", {}, "Thin: data. Solid: the gradient. Dashed: what follows by momentum."));
  const stage = keepKeys(make("div", {
    class: "step-stage", role: "group", tabindex: 0, "aria-label": "Station: the left and right arrow keys go back and on",
  }, text, picture));
  const frame = make("div", { class: "explorer step", role: "group", "aria-label": "One training step" },
    make("div", { class: "step-columns" },
      make("div", {}, make("div", { class: "step-buttons" }, back, next, count), stage), plan));
  el.append(frame);

  const go = (key) => {
    const to = reached(model.get("station"), key, stations.length);
    if (to === null) return false;
    model.set("station", to);
    model.save_changes();
    return true;
  };
  back.addEventListener("click", () => go("ArrowLeft"));
  next.addEventListener("click", () => go("ArrowRight"));
  frame.addEventListener("keydown", (event) => {
    takes(event, (key) => !event.shiftKey && go(key));
  });
  const update = () => {
    const at = model.get("station"), it = stations[at];
    // aria-disabled, not disabled: a button that is disabled under the finger loses the focus
    back.setAttribute("aria-disabled", at === 0);
    next.setAttribute("aria-disabled", at === last);
    count.textContent = `${at + 1} of ${stations.length}`;
    say(title, `${at + 1}. ${it.title}`);
    say(words, it.sentence);
    say(shapes, `${it.symbol}: ${it.shape}`);
    picture.innerHTML = it.picture;
    for (const node of plan.querySelectorAll("[data-part]")) {
      node.classList.toggle("step-now", it.parts.includes(node.dataset.part));
    }
  };
  return live(model, ["station"], update);
}

export default { render };
