// Two maps and a brush in the browser: the same selections and shares as result() in maps.py.

const HUES = ["1b9e77", "d95f02", "7570b3", "e7298a", "66a61e", "c99700", "a6761d", "808080"]; // Dark2 (ColorBrewer)
const SCORE = [[47, 127, 208], [150, 128, 150], [217, 115, 13]]; // from simple to complex, visible on white and on black

const binOf = (level, bins) => Math.min(bins - 1, Math.floor(level * bins / 1000));

function shares(index, size, chosen) {
  const total = index.length, here = new Array(size).fill(0), all = new Array(size).fill(0);
  let n = 0;
  for (let i = 0; i < total; i++) {
    all[index[i]] += 1 / total;
    if (!chosen[i]) continue;
    here[index[i]]++;
    n++;
  }
  const margin = all.map((p) => 2 * Math.sqrt(Math.max(0, p * (1 - p)) / n * (total - n) / (total - 1)));
  return { here: here.map((count) => count / n), all, margin, n };
}

export function brush({ positions, kinds, levels, selection, constants: { maps, categories, bins, whole } }) {
  const n = kinds.length, level = Array.from(levels, (each) => binOf(each, bins));
  const { box, map, category, bin } = selection, from = 2 * n * maps.indexOf(map);
  const inside = (i) => [0, 1].every((c) => {
    const at = positions[from + 2 * i + c] / whole;
    return at >= box[c] && at <= box[c + 2];
  });
  const kind = categories.indexOf(category);
  const chosen = Array.from({ length: n }, (_, i) =>
    (box ? inside(i) : category !== undefined ? kinds[i] === kind : bin !== undefined ? level[i] === bin : true));
  const classes = shares(kinds, categories.length, chosen), mean = (some) => some.reduce((sum, x) => sum + x, 0) / some.length;
  const values = Array.from(levels, (each) => each / 1000), all = mean(values);
  const deviation = Math.sqrt(mean(values.map((x) => (x - all) ** 2)) / classes.n * (n - classes.n) / (n - 1));
  const score = { here: mean(values.filter((_, i) => chosen[i])), all, margin: 2 * deviation };
  return { chosen, classes, scores: shares(level, bins, chosen), score };
}

function scoreColour(share) {
  const at = 2 * Math.min(1, Math.max(0, share)), i = Math.min(1, Math.floor(at));
  return `rgb(${SCORE[i].map((low, c) => Math.round(low + (at - i) * (SCORE[i + 1][c] - low)))})`;
}

const STEP = 0.05; // of a map, by one press of a key
const digits = (x) => x.toFixed(2);
const around = ({ here, all, margin }, show, k) => { // beside what a random selection of this size has
  const [value, chance, range] = [here, all, margin].map((some) => show(k === undefined ? some : some[k]));
  return `${value} (by chance ${chance}\u00a0\u00b1\u00a0${range})`;
};

function mapPanel() { // points, and the rectangle
  const canvas = make("canvas", { role: "img" }), svg = makeSvg("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" });
  const rectangle = lines(svg, "chosen");
  const frame = keepKeys(make("div", { class: "maps-map", role: "application", tabindex: 0 }, canvas, svg));
  const caption = make("figcaption"), node = make("figure", {}, frame, caption);
  const update = (name, points, colours, { chosen }, box, all) => {
    const size = Math.round((canvas.clientWidth || 320) * Math.max(1, devicePixelRatio)), context = canvas.getContext("2d");
    Object.assign(canvas, { width: size, height: size }); // and clears it
    const dot = size / 130;
    for (const yes of [false, true]) { // the chosen ones on top
      context.globalAlpha = yes ? 0.9 : 0.22;
      chosen.forEach((is, i) => {
        if (is !== yes) return;
        context.fillStyle = colours[i];
        context.beginPath();
        context.arc(points(i)[0] * size, points(i)[1] * size, dot, 0, 7);
        context.fill();
      });
    }
    rectangle(box ? `M${box[0]} ${box[1]}H${box[2]}V${box[3]}H${box[0]}z` : "");
    say(caption, name);
    canvas.setAttribute("aria-label", `Map of ${name}: ${all}`);
    frame.setAttribute("aria-label",
      `Map of ${name}: arrow keys move a rectangle, with Shift they change its size, Escape removes it`);
  };
  return { node, frame, canvas, update };
}

function bar(name, colour, vertical) { // a button: share of the selection, and the range that chance gives
  const fill = make("span", { class: "maps-fill" }), band = make("span", { class: "maps-band" });
  const strip = make("span", { class: "maps-strip", "aria-hidden": "true" }, band, fill);
  const text = make("span", { class: "maps-name" }, name), value = make("span", { class: "maps-value", "aria-hidden": "true" });
  const node = keepKeys(make("button", { type: "button", class: vertical ? "maps-bin" : "maps-class" },
    ...(vertical ? [strip, text] : [text, strip, value])));
  fill.style.background = colour;
  const [start, length] = vertical ? ["bottom", "height"] : ["left", "width"];
  const update = (found, k, top, pressed, label) => {
    const share = (x) => `${100 * Math.min(1, Math.max(0, x / top))}%`;
    fill.style[length] = share(found.n ? found.here[k] : 0);
    const margin = found.n ? found.margin[k] : 0, low = Math.max(0, found.all[k] - margin), high = found.all[k] + margin;
    Object.assign(band.style, { [start]: share(low), [length]: `calc(${share(high - low)} + 2px)` });
    say(value, found.n ? percent(found.here[k]) : "");
    node.setAttribute("aria-pressed", pressed);
    node.setAttribute("aria-label", `${label}: ${found.n ? around(found, percent, k) : "no image is selected"}`);
  };
  return { node, update };
}

function render({ model, el }) {
  const constants = model.get("constants"), { maps, categories, bins, whole } = constants;
  const raw = (name, Kind) => {
    const view = model.get(name);
    return new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  };
  const [positions, kinds, levels] = [raw("positions", Uint16Array), raw("kinds", Uint8Array), raw("levels", Uint16Array)];
  const n = kinds.length, sides = ["left", "right"], panels = sides.map(mapPanel);
  const ofScore = Array.from(levels, (level) => scoreColour(level / 1000));
  const colours = { category: Array.from(kinds, (k) => `#${HUES[k]}`), score: ofScore };
  const classBars = categories.map((name, k) => bar(name, `#${HUES[k]}`, false));
  const binBars = Array.from({ length: bins }, (_, k) =>
    bar((k / bins).toFixed(1).slice(1), scoreColour((k + 0.5) / bins), true)); // .0 to .9
  const choices = [
    { trait: "left", text: "Left map", values: () => maps },
    { trait: "right", text: "Right map", values: () => maps },
    { trait: "colour", text: "Colours show", values: () => ["category", "score"] },
  ].map((each) => choice(model, each));
  const reading = make("p", { class: "explorer-reading", "aria-live": "polite" });
  const clear = keepKeys(make("button", { type: "button" }, "Select all"));
  const group = (name, ...bars) =>
    make("div", { class: "maps-group", role: "group", "aria-label": name }, ...bars.map(({ node }) => node));
  el.append(make("div", { class: "explorer maps", role: "group", "aria-label": "Map explorer" },
    make("div", { class: "maps-pair" }, ...panels.map(({ node }) => node)), reading,
    make("div", { class: "maps-bars" },
      make("div", {}, make("p", {}, "Classes of the selection"), group("Classes", ...classBars)),
      make("div", { class: "maps-scores" }, make("p", {}, "Scores of the selection"), group("Scores", ...binBars))),
    make("p", { class: "maps-note" }, "Gray: where 95\u00a0% of random selections of this size would end. "
      + "Press a bar to select its images."),
    make("div", { class: "explorer-sliders" }, ...choices.map(({ node }) => node), clear)));

  const select = (selection) => {
    model.set("selection", selection);
    model.save_changes();
  };
  const words = (selection, { classes, score }) => {
    const { map, category, bin } = selection, scores = (k) => `scores from ${k / bins} to ${(k + 1) / bins}`;
    if (!Object.keys(selection).length)
      return `All ${n} images, mean score ${digits(score.all)}. Drag a rectangle over a map, or use the arrow keys on it.`;
    if (!classes.n) return "No image is selected.";
    const top = classes.here.indexOf(Math.max(...classes.here));
    const of = map ? `in the rectangle on ${map}` : category ?? scores(bin);
    const said = [category === undefined && `${categories[top]} makes up ${around(classes, percent, top)}`,
      bin === undefined && `the mean score is ${around(score, digits)}`].filter(Boolean);
    return `${classes.n} of ${n} images, ${of}: ${said.join("; ")}.`;
  };
  const update = () => {
    const selection = model.get("selection"), found = brush({ positions, kinds, levels, selection, constants });
    const all = words(selection, found);
    for (const each of choices) each.update();
    panels.forEach((panel, i) => {
      const name = model.get(sides[i]), from = 2 * n * maps.indexOf(name);
      const points = (k) => [positions[from + 2 * k] / whole, positions[from + 2 * k + 1] / whole];
      panel.update(name, points, colours[model.get("colour")], found, selection.map === name ? selection.box : null, all);
    });
    const reach = (some) => some.all.map((x, k) => x + (found.n ? some.margin[k] : 0)); // of the gray bands
    const end = (some) => Math.max(...reach(some), ...some.here.filter((x) => x >= 0), 0.01) * 1.05;
    const { category, bin } = selection, { classes, scores } = found;
    classBars.forEach((each, k) => each.update(classes, k, end(classes), category === categories[k], categories[k]));
    binBars.forEach((each, k) => each.update(scores, k, end(scores), bin === k, `Scores from ${k / bins} to ${(k + 1) / bins}`));
    say(reading, all);
  };

  classBars.forEach(({ node }, k) => node.addEventListener("click", () =>
    select(model.get("selection").category === categories[k] ? {} : { category: categories[k] })));
  binBars.forEach(({ node }, k) => node.addEventListener("click", () =>
    select(model.get("selection").bin === k ? {} : { bin: k })));
  clear.addEventListener("click", () => select({}));
  const clamp = (x) => Math.round(1000 * Math.min(1, Math.max(0, x))) / 1000;
  panels.forEach(({ frame }, side) => {
    const name = () => model.get(sides[side]);
    const at = (event) => {
      const box = frame.getBoundingClientRect();
      return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
    };
    let from = null;
    frame.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      from = at(event);
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = at(event), low = from.map((x, c) => Math.min(x, to[c])), high = from.map((x, c) => Math.max(x, to[c]));
      select({ map: name(), box: [...low, ...high] });
    });
    frame.addEventListener("pointerup", (event) => {
      if (from && `${at(event)}` === `${from}`) select({}); // a click
      from = null;
    });
    frame.addEventListener("pointercancel", () => { from = null; });
    frame.addEventListener("keydown", (event) => {
      if (!takes(event, (key) => key in KEYS || key === "Escape")) return;
      const { map, box } = model.get("selection");
      if (event.key === "Escape") return select({});
      if (!box || map !== name()) return select({ map: name(), box: [0.4, 0.4, 0.6, 0.6] });
      const [down, right] = KEYS[event.key].map((way) => way * STEP), moved = [right, down, right, down];
      const to = box.map((x, c) => x + (event.shiftKey && c < 2 ? 0 : moved[c]));
      const outside = to.some((x) => x < -1e-9 || x > 1 + 1e-9), empty = to[2] - to[0] < STEP / 2 || to[3] - to[1] < STEP / 2;
      if (!outside && !empty) select({ map, box: to.map(clamp) });
    });
  });
  const end = live(model, ["left", "right", "colour", "selection"], update);
  const resized = new ResizeObserver(update);
  resized.observe(panels[0].canvas);
  return () => {
    resized.disconnect();
    end();
  };
}

export default { render };
