// The common part of the explorers: the random numbers, and a frame of pictures, controls and text around a drawing function.
// explorer.py puts it before the script of a widget (for example patchify.js) into one ES module, so nothing is imported here.

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

// plasma (Smith and van der Walt, CC0) at 25 even steps: neither black nor white, so the outlines stand out
const PLASMA = ("0d0887 260591 3a049a 4c02a1 5c01a6 6e00a8 7e03a8 8d0ba5 9c179e aa2395 b52f8c c13b82 cc4778 "
  + "d5536f de5f65 e66c5c ed7953 f3874a f89540 fca338 fdb42f fdc527 fbd524 f6e826 f0f921")
  .split(" ").map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));

export function plasma(share) { // 0..1 -> [red, green, blue]
  const at = Math.min(1, Math.max(0, share)) * (PLASMA.length - 1), i = Math.min(PLASMA.length - 2, Math.floor(at));
  return PLASMA[i].map((low, c) => low + (at - i) * (PLASMA[i + 1][c] - low));
}

const corner = (k, patch, side) => { // patch k, counted row by row -> [row, column, top, left], the last two in pixels
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

const keepKeys = (node) => { // otherwise JupyterLab takes the arrow keys
  node.dataset.lmSuppressShortcuts = "true";
  return node;
};
const input = (type, name) => keepKeys(make("input", { type, name }));

// Call update now, and at each change of these traits until the function that is returned is called.
function live(model, traits, update) {
  for (const name of traits) model.on(`change:${name}`, update);
  update();
  return () => { for (const name of traits) model.off(`change:${name}`, update); };
}

// Whether a key is one of ours, pressed alone. Then the page does not scroll, and no other cell or chapter is entered.
function takes(event, ours) {
  if (event.altKey || event.ctrlKey || event.metaKey || !ours(event.key)) return false;
  event.preventDefault();
  event.stopPropagation();
  return true;
}

// A slider over values(model); show(value) gives the text of a value.
function slider(model, { trait, text, values, show, change = (value) => model.set(trait, value) }) {
  const range = input("range", trait), shown = make("span", { "aria-hidden": "true" }); // the slider says it: aria-valuetext
  const steps = () => { // a value from Python that is not a step is added as one
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

// A list to choose one of values(model), which are texts.
function choice(model, { trait, text, values }) {
  const select = keepKeys(make("select", { name: trait }, ...values(model).map((value) => make("option", { value }, value))));
  select.addEventListener("change", () => {
    model.set(trait, select.value);
    model.save_changes();
  });
  return {
    node: make("div", {}, make("label", {}, make("span", {}, text), select)),
    update: () => { select.value = model.get(trait); },
  };
}

const seeds = (model) => model.get("constants").seeds ?? 100;
const upTo = (model) => Array.from({ length: seeds(model) }, (_, i) => i);
const SEED = { trait: "seed", text: "Seed", values: upTo, show: String };
const PICTURE = { trait: "picture", text: "Picture", values: (model) => model.get("constants").pictures };
const GRID = { trait: "grid", text: "Grid lines" };
const PATCH = { trait: "patch", text: "Patch size", values: (model) => model.get("constants").patch_sizes, show: px };

function lines(svg, name) { // light over dark, so that it is visible on every picture
  const paths = ["under", "over"].map((level) => makeSvg("path", { class: `explorer-${name} explorer-${level}` }));
  svg.append(...paths);
  return (d) => paths.forEach((path) => path.setAttribute("d", d));
}

function panel(title, side) {
  const canvas = make("canvas", { width: side, height: side, role: "img", "aria-label": title });
  const svg = makeSvg("svg", { viewBox: `0 0 ${side} ${side}`, "aria-hidden": "true" });
  const caption = make("figcaption", {}, title);
  const node = make("figure", {}, make("div", { class: "explorer-picture" }, canvas, svg), caption);
  const rename = (text) => {
    say(caption, text);
    canvas.setAttribute("aria-label", text);
  };
  return { node, canvas, rename, grid: lines(svg, "grid"), marks: lines(svg, "marks"), chosen: lines(svg, "chosen") };
}

function gridLines(patch, side) {
  let d = "";
  for (let at = patch; at < side; at += patch) d += `M${at} 0V${side}M0 ${at}H${side}`;
  return d;
}

function say(node, text) { // a screen reader repeats text that is set again
  if (node.textContent !== text) node.textContent = text;
}

const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

// explorer: {name, traits, panels (titles), sliders, checks, compute(state) -> drawing with one RGBA array per panel in images,
// summary(state, drawing), reading(state, drawing, k, panel) for patch k; optional: marks(state, drawing, panel), extra(),
// choices, titles(state, drawing), hint (a text), draws (false: nothing is random), first(state) -> the patch chosen first,
// follow {panel, image(state, drawing, k) -> the RGBA array of this panel when patch k is chosen}, edit(model, state, drawing, k, panel, key) -> whether the key, or "turn", changed
// something for a patch of a panel, and with it buttons(edit, model) -> nodes}
function mount({ model, el }, explorer) {
  const { side, pictures = [] } = model.get("constants"), several = pictures.length > 1;
  const traits = several ? ["picture", ...explorer.traits] : explorer.traits;
  const raw = model.get("pixels"); // a DataView, in JupyterLab and in the static page
  const pixels = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
  const panels = explorer.panels.map((title) => panel(title, side));
  const choices = [...(several ? [PICTURE] : []), ...(explorer.choices ?? [])].map((each) => choice(model, each));
  const sliders = explorer.sliders.map((each) => slider(model, each));
  const checks = explorer.checks.map((each) => check(model, each));
  const again = make("button", { type: "button" }, "New draw");
  const summary = make("p", { class: "explorer-summary", "aria-live": "polite" });
  const reading = make("p", { class: "explorer-reading", "aria-live": "polite" });
  const hint = explorer.hint ?? "Point at a patch, or use the arrow keys on the pictures.";
  const frame = make("div", {
    class: "explorer-panels",
    role: "application",
    tabindex: 0,
    "aria-label": `${explorer.panels.join(", ")}: arrow keys choose a patch${explorer.edit ? ", 1 to 8 turn it" : ""}`,
    "data-lm-suppress-shortcuts": "true",
  }, ...panels.map(({ node }) => node));
  const extra = explorer.extra?.();
  const nodes = (controls) => controls.map(({ node }) => node);

  let state, drawing, chosen = null, within = 0; // the chosen patch, and its panel
  let pinned = null; // [patch, panel] that is shown again when the pointer leaves the pictures
  const columns = () => side / state.patch;
  const first = () => explorer.first?.(state) ?? null;
  const paint = (i, image) => panels[i].canvas.getContext("2d").putImageData(new ImageData(image, side, side), 0, 0);
  const choose = (k, at = within) => {
    [chosen, within] = [k, at];
    let d = "";
    if (k !== null) {
      const [, , top, left] = corner(k, state.patch, side);
      d = `M${left} ${top}h${state.patch}v${state.patch}h${-state.patch}z`;
    }
    panels.forEach(({ node, chosen: draw }, i) => {
      draw(d);
      node.classList.toggle("explorer-within", Boolean(explorer.edit) && k !== null && i === within);
    });
    if (explorer.follow && k !== null) paint(explorer.follow.panel, explorer.follow.image(state, drawing, k));
    say(reading, k === null ? hint : explorer.reading(state, drawing, k, within));
  };
  const pin = (k, at) => {
    pinned = k === null ? null : [k, at];
    choose(k, at);
  };
  const edit = (key) => chosen !== null && Boolean(explorer.edit?.(model, state, drawing, chosen, within, key));
  const style = `explorer${explorer.edit ? " explorer-edits" : ""}${explorer.follow ? " explorer-follows" : ""}`;
  el.append(make("div", { class: style, role: "group", "aria-label": explorer.name },
    frame, ...(extra ? [extra.node] : []), reading, summary,
    ...(explorer.buttons ? [make("div", { class: "explorer-checks" }, ...explorer.buttons(edit, model))] : []),
    make("div", { class: "explorer-sliders" }, ...nodes([...choices, ...sliders])),
    make("div", { class: "explorer-checks" }, ...(explorer.draws === false ? [] : [again]), ...nodes(checks))));

  const update = () => {
    const before = state && [state.patch, first()];
    state = Object.fromEntries(["constants", "picture", ...traits].map((name) => [name, model.get(name)]));
    const shown = several ? pictures.indexOf(state.picture) * 3 * side ** 2 : 0;
    drawing = explorer.compute({ ...state, pixels: several ? pixels.subarray(shown, shown + 3 * side ** 2) : pixels });
    for (const each of [...choices, ...sliders, ...checks]) each.update();
    const titles = explorer.titles?.(state, drawing);
    panels.forEach(({ grid, marks, rename }, i) => {
      paint(i, drawing.images[i]);
      grid(state.grid ? gridLines(state.patch, side) : "");
      marks(explorer.marks?.(state, drawing, i) ?? "");
      if (titles) rename(titles[i]);
    });
    extra?.update(state, drawing);
    say(summary, explorer.summary(state, drawing));
    if (before?.[0] === state.patch && before[1] === first()) choose(chosen);
    else pin(first(), 0);
  };

  const point = (event) => { // [patch, panel]
    const picture = event.target.closest(".explorer-picture"), box = picture?.getBoundingClientRect();
    if (!box) return null;
    const at = (share) => Math.min(side - 1, Math.max(0, Math.floor(share * side)));
    const [y, x] = [at((event.clientY - box.top) / box.height), at((event.clientX - box.left) / box.width)];
    const k = Math.floor(y / state.patch) * columns() + Math.floor(x / state.patch);
    return [k, panels.findIndex(({ node }) => node.contains(picture))];
  };
  const follow = (act) => (event) => {
    const found = point(event);
    if (found) act(...found);
  };
  let last = { time: -Infinity }; // for two clicks or taps on one patch; not every touch screen sends dblclick
  frame.addEventListener("pointermove", follow(choose));
  frame.addEventListener("pointerdown", follow(pin)); // a tap
  frame.addEventListener("pointerleave", () => { if (pinned) choose(...pinned); });
  frame.addEventListener("click", (event) => follow((k, at) => {
    const twice = event.timeStamp - last.time < 400 && k === last.k && at === last.at;
    last = twice ? { time: -Infinity } : { time: event.timeStamp, k, at };
    if (twice) edit("turn");
  })(event));
  frame.addEventListener("keydown", (event) => {
    if (!takes(event, (key) => key === "Escape" || key in KEYS || edit(key))) return;
    if (event.key === "Escape") return pin(first(), 0);
    if (!(event.key in KEYS)) return;
    if (chosen === null) return pin(0, 0);
    const [row, column] = corner(chosen, state.patch, side), [down, right] = KEYS[event.key];
    const inside = (index) => Math.min(columns() - 1, Math.max(0, index));
    const beside = within + right; // when patches can be edited, the next picture is entered at its edge
    if (explorer.edit && right && inside(column + right) === column && panels[beside])
      return pin(row * columns() + (right > 0 ? 0 : columns() - 1), beside);
    pin(inside(row + down) * columns() + inside(column + right), within);
  });
  again.addEventListener("click", () => {
    model.set("seed", (model.get("seed") + 1) % seeds(model));
    model.save_changes();
  });
  return live(model, traits, update);
}
