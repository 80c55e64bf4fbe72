// What both explorers share: the random draws, and a frame of pictures, controls and text around a function that draws.
// It stands before patchify.js or mask.js in one ES module (explorer.py), so nothing here is imported.

export function uniforms(seed, count) { // mulberry32; the same numbers as uniforms() in draws.py
  const numbers = new Float64Array(count);
  for (let i = 0, a = seed | 0; i < count; i++) {
    a = (a + 0x6D2B79F5) | 0;
    let x = Math.imul(a ^ (a >>> 15), 1 | a);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    numbers[i] = ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }
  return numbers;
}

const corner = (k, patch, side) => { // of patch k, counted row by row: [row, column, top, left], the last two in pixels
  const columns = side / patch, row = Math.floor(k / columns), column = k % columns;
  return [row, column, row * patch, column * patch];
};
const percent = (share) => `${Math.round(100 * share)}\u00a0%`; // the space does not break, here and in px()
const px = (length) => `${length}\u00a0px`;
const place = (k, { patch, constants }) => {
  const [row, column] = corner(k, patch, constants.side);
  return `Row ${row + 1}, column ${column + 1}`;
};

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function makeSvg(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function input(type, name) {
  const node = make("input", { type, name });
  node.dataset.lmSuppressShortcuts = "true"; // else JupyterLab takes the arrow keys
  return node;
}

// A slider over values(model), each shown as a text by show(value).
function slider(model, { trait, text, values, show, change = (value) => model.set(trait, value) }) {
  const range = input("range", trait), shown = make("span", { "aria-hidden": "true" }); // the slider says it: aria-valuetext
  const steps = () => { // a value set in Python that is no step becomes one
    const all = values(model), now = model.get(trait);
    return all.includes(now) ? all : [...all, now].sort((a, b) => a - b);
  };
  range.addEventListener("input", () => {
    change(steps()[range.value], model);
    model.save_changes();
  });
  const update = () => {
    Object.assign(range, { min: 0, max: steps().length - 1, step: 1, value: steps().indexOf(model.get(trait)) });
    range.ariaValueText = shown.textContent = show(model.get(trait));
  };
  return { node: make("div", {}, make("label", {}, make("span", {}, text), range), shown), update };
}

// A check box that sets one of two values.
function check(model, { trait, text, on = true, off = false }) {
  const box = input("checkbox", trait);
  box.addEventListener("input", () => {
    model.set(trait, box.checked ? on : off);
    model.save_changes();
  });
  return { node: make("label", {}, box, text), update: () => { box.checked = model.get(trait) === on; } };
}

const SEED = { trait: "seed", text: "Seed", values: () => Array.from({ length: 100 }, (_, i) => i), show: String };
const GRID = { trait: "grid", text: "Grid lines" };
const PATCH = { trait: "patch", text: "Patch size", values: (model) => model.get("constants").patch_sizes, show: px };

function lines(svg, name) { // light over dark, to be seen on every picture
  const paths = ["under", "over"].map((level) => makeSvg("path", { class: `explorer-${name} explorer-${level}` }));
  svg.append(...paths);
  return (d) => paths.forEach((path) => path.setAttribute("d", d));
}

function panel(title, side) {
  const canvas = make("canvas", { width: side, height: side, role: "img", "aria-label": title });
  const svg = makeSvg("svg", { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" });
  const node = make("figure", {}, make("div", { class: "explorer-picture" }, canvas, svg), make("figcaption", {}, title));
  return { node, canvas, grid: lines(svg, "grid"), marks: lines(svg, "marks"), chosen: lines(svg, "chosen") };
}

function gridLines(patch, side) {
  let d = "";
  for (let at = patch; at < side; at += patch) d += `M${at} 0V${side}M0 ${at}H${side}`;
  return d;
}

function say(node, text) { // a screen reader repeats what is written again
  if (node.textContent !== text) node.textContent = text;
}

const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

// explorer: {name, traits, panels (titles), sliders, checks, compute(state) -> drawing with one RGBA array per panel in images,
// summary(state, drawing), reading(state, drawing, k) of patch k, and if wanted marks(state, drawing, panel) and extra()}
function mount({ model, el }, explorer) {
  const { side } = model.get("constants");
  const raw = model.get("pixels"); // a DataView, in JupyterLab and in the static page
  const pixels = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
  const panels = explorer.panels.map((title) => panel(title, side));
  const sliders = explorer.sliders.map((each) => slider(model, each));
  const checks = explorer.checks.map((each) => check(model, each));
  const again = make("button", { type: "button" }, "New draw");
  const summary = make("p", { class: "explorer-summary", "aria-live": "polite" });
  const reading = make("p", { class: "explorer-reading", "aria-live": "polite" });
  const frame = make("div", {
    class: "explorer-panels",
    role: "application",
    tabindex: 0,
    "aria-label": `${explorer.panels.join(", ")}: arrow keys choose a patch`,
    "data-lm-suppress-shortcuts": "true",
  }, ...panels.map(({ node }) => node));
  const extra = explorer.extra?.();
  const nodes = (controls) => controls.map(({ node }) => node);
  el.append(make("div", { class: "explorer", role: "group", "aria-label": explorer.name },
    frame, ...(extra ? [extra.node] : []), reading, summary,
    make("div", { class: "explorer-sliders" }, ...nodes(sliders), again),
    make("div", { class: "explorer-checks" }, ...nodes(checks))));

  let state, drawing, chosen = null;
  const choose = (k) => {
    chosen = k;
    let d = "";
    if (k !== null) {
      const [, , top, left] = corner(k, state.patch, side);
      d = `M${left} ${top}h${state.patch}v${state.patch}h${-state.patch}z`;
    }
    for (const each of panels) each.chosen(d);
    const text = k === null ? "Point at a patch, or use the arrow keys on the pictures." : explorer.reading(state, drawing, k);
    say(reading, text);
  };
  const update = () => {
    const before = state?.patch;
    state = Object.fromEntries(["constants", ...explorer.traits].map((name) => [name, model.get(name)]));
    drawing = explorer.compute({ ...state, pixels });
    for (const each of [...sliders, ...checks]) each.update();
    panels.forEach(({ canvas, grid, marks }, i) => {
      canvas.getContext("2d").putImageData(new ImageData(drawing.images[i], side, side), 0, 0);
      grid(state.grid ? gridLines(state.patch, side) : "");
      marks(explorer.marks?.(state, drawing, i) ?? "");
    });
    extra?.update(state, drawing);
    say(summary, explorer.summary(state, drawing));
    choose(before === state.patch ? chosen : null);
  };

  const point = (event) => {
    const box = event.target.closest(".explorer-picture")?.getBoundingClientRect();
    if (!box) return;
    const at = (share) => Math.min(side - 1, Math.max(0, Math.floor(share * side)));
    const [y, x] = [at((event.clientY - box.top) / box.height), at((event.clientX - box.left) / box.width)];
    choose(Math.floor(y / state.patch) * (side / state.patch) + Math.floor(x / state.patch));
  };
  frame.addEventListener("pointermove", point);
  frame.addEventListener("pointerdown", point); // a tap
  frame.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key === "Escape" || event.key in KEYS)) return;
    event.preventDefault(); // neither scroll the page
    event.stopPropagation(); // nor move to another cell
    if (event.key === "Escape") return choose(null);
    if (chosen === null) return choose(0);
    const [row, column] = corner(chosen, state.patch, side), [down, right] = KEYS[event.key], columns = side / state.patch;
    const inside = (index) => Math.min(columns - 1, Math.max(0, index));
    choose(inside(row + down) * columns + inside(column + right));
  });
  again.addEventListener("click", () => {
    model.set("seed", (model.get("seed") + 1) % 100);
    model.save_changes();
  });
  for (const name of explorer.traits) model.on(`change:${name}`, update);
  update();
  return () => { for (const name of explorer.traits) model.off(`change:${name}`, update); };
}
