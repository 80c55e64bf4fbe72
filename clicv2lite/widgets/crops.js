// Two crops of a picture in the browser: the same boxes and measures as result() in crops.py.

export const randomPairs = (seed, { pairs }) => {
  const numbers = uniforms(seed, 4 * pairs);
  return Array.from({ length: pairs }, (_, i) => Array.from(numbers.subarray(4 * i, 4 * i + 4)));
};

export const sideOf = (area, full) => Math.floor(full * Math.sqrt(area) + 0.5);
const corners = (at, side, full) => at.map((share) => Math.floor(share * (full - side) + 0.5)); // left, top

export function edgeDensity(pixels, full, [left, top], side) { // luma as Pillow rounds it
  const luma = new Uint8Array(side * side);
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    const at = ((top + y) * full + left + x) * 3;
    luma[y * side + x] = (pixels[at] * 19595 + pixels[at + 1] * 38470 + pixels[at + 2] * 7471 + 0x8000) >> 16;
  }
  return canny(luma, side).reduce((sum, edge) => sum + edge, 0) / side ** 2;
}

export function localEntropy(pixels, full, [left, top], side, { patch, bins, luma }) { // the mean of whole patches, bits
  const count = Math.floor(side / patch);
  let sum = 0;
  for (let row = 0; row < count; row++) for (let column = 0; column < count; column++)
    sum += patchEntropy(pixels, full, top + row * patch, left + column * patch, patch, bins, luma);
  return sum / count ** 2;
}

export function complexity(pixels, full, at, area, measure, constants) {
  const side = sideOf(area, full), box = corners(at, side, full);
  return (measure === "edge density" ? edgeDensity : localEntropy)(pixels, full, box, side, constants);
}

export function ofPairs(values) { // [query, key] each -> how far they differ
  const twice = values.filter(([q, k]) => Math.max(q, k) >= 2 * Math.min(q, k) && Math.max(q, k) > 0).length;
  const gap = values.reduce((sum, [q, k]) => sum + Math.abs(q - k), 0);
  return { gap: gap / values.length, twice: twice / values.length };
}

const VIEWS = ["query", "key"];
const twoDigits = (x) => x.toFixed(2);
const NUDGE = 0.05; // of the way from one end to the other, by one press of an arrow key

async function decoded(file) { // JPEG -> its side, and RGB
  const image = new Image(), url = URL.createObjectURL(new Blob([file], { type: "image/jpeg" }));
  image.src = url;
  await image.decode();
  URL.revokeObjectURL(url);
  const full = image.naturalWidth, canvas = make("canvas", { width: full, height: full }), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, full, full).data;
  return { full, canvas, pixels: rgba.filter((_, i) => i % 4 !== 3) };
}

function plot() { // a point for each pair, and lines where both are equal, or one is twice the other
  const svg = makeSvg("svg", { viewBox: "0 0 100 100", role: "img" });
  svg.append(makeSvg("path", { class: "crops-twice", d: "M0 100L50 0H0zM0 100L100 50V100z" }),
    makeSvg("path", { class: "crops-equal", d: "M0 100L100 0" }), makeSvg("path", { class: "crops-axes", d: "M0 0V100H100" }));
  const [dots, now] = ["dot", "now"].map((name) => makeSvg("path", { class: `crops-${name}` }));
  svg.append(dots, now);
  const dot = ([q, k], end) => `M${[q, k].map((x, i) => {
    const at = 100 * Math.min(1, x / end);
    return (i ? 100 - at : at).toFixed(1);
  }).join(" ")}h0`; // a line of no length with round ends
  const legend = make("p", { class: "crops-axis", "aria-hidden": "true" });
  const node = make("figure", { class: "crops-plot" }, svg, legend);
  const update = (values, pair, measure, unit, end, words) => {
    dots.setAttribute("d", values.map((each) => dot(each, end)).join(""));
    now.setAttribute("d", dot(pair, end));
    say(legend, `Across: query, up: key, ${measure}, 0 to ${end}${unit && ` ${unit}`}. `
      + "Line: equal; tinted: one is at least twice the other.");
    svg.setAttribute("aria-label", `Scatter plot of the pairs, the query's ${measure} across and the key's up. ${words}`);
  };
  return { node, update };
}

async function render({ model, el }) {
  const constants = model.get("constants"), { pictures, measures, areas } = constants;
  const photos = await Promise.all(model.get("files").map(decoded)), { full } = photos[0];
  const photo = make("canvas", { width: full, height: full, role: "img" });
  const boxes = VIEWS.map((view) => keepKeys(make("button", { type: "button", class: `crops-box crops-${view}` }, view)));
  const frame = make("div", { class: "crops-photo" }, photo, ...boxes);
  const crops = VIEWS.map((view) => {
    const canvas = make("canvas", { "aria-hidden": "true" }), caption = make("figcaption");
    return { canvas, caption, node: make("figure", { class: `crops-crop crops-${view}` }, canvas, caption) };
  });
  const [reading, summary] = ["reading", "summary"].map((name) =>
    make("p", { class: `explorer-${name}`, "aria-live": "polite" }));
  const controls = [
    ...(pictures.length > 1 ? [choice(model, PICTURE)] : []),
    choice(model, { trait: "measure", text: "Measure", values: () => measures.map(([name]) => name) }),
    slider(model, { trait: "area", text: "Area of a crop", values: () => areas, show: percent }),
  ];
  const act = (text, change) => {
    const node = keepKeys(make("button", { type: "button" }, text));
    node.addEventListener("click", () => {
      model.set(change());
      model.save_changes();
    });
    return node;
  };
  const buttons = [
    act("Keep this pair", kept),
    act(`Draw ${constants.pairs} pairs`, () => ({ drawn: true, seed: model.get("seed") + model.get("drawn") })),
    act("Clear", () => ({ drawn: false, kept: [] })),
  ];
  const scatter = plot();
  el.append(make("div", { class: "explorer crops", role: "group", "aria-label": "Crop pairs" },
    make("div", { class: "crops-columns" }, frame,
      make("div", { class: "crops-pair" }, ...crops.map(({ node }) => node)), scatter.node),
    reading, summary, make("div", { class: "explorer-checks" }, ...buttons),
    make("div", { class: "explorer-sliders" }, ...controls.map(({ node }) => node))));

  const known = new Map(); // what was measured already
  const value = (at) => {
    const [picture, area, measure] = ["picture", "area", "measure"].map((name) => model.get(name));
    const { pixels } = photos[Math.max(0, pictures.indexOf(picture))], name = [picture, area, measure, ...at].join(" ");
    if (!known.has(name)) known.set(name, complexity(pixels, full, at, area, measure, constants));
    return known.get(name);
  };
  const pair = (row) => [value(row.slice(0, 2)), value(row.slice(2))];
  const places = () => [...model.get("kept"), ...(model.get("drawn") ? randomPairs(model.get("seed"), constants) : [])];
  function kept() {
    const now = [...model.get("query"), ...model.get("key")], before = model.get("kept");
    return { kept: before.some((row) => `${row}` === `${now}`) ? before : [...before, now] };
  }

  let waiting = 0;
  const update = () => {
    cancelAnimationFrame(waiting);
    const area = model.get("area"), measure = model.get("measure"), side = sideOf(area, full);
    const at = pictures.indexOf(model.get("picture")), [, unit, end] = measures.find(([name]) => name === measure);
    const { canvas } = photos[Math.max(0, at)], shown = (x) => twoDigits(x) + (unit && `\u00a0${unit}`);
    for (const each of controls) each.update();
    photo.getContext("2d").drawImage(canvas, 0, 0);
    photo.setAttribute("aria-label", `The picture${pictures[at] ? ` ${pictures[at]}` : ""}`);
    VIEWS.forEach((view, i) => {
      const place = model.get(view), [left, top] = corners(place, side, full);
      Object.assign(boxes[i].style, Object.fromEntries(
        [["left", left], ["top", top], ["width", side], ["height", side]].map(([name, x]) => [name, `${100 * x / full}%`])));
      const where = `${percent(left / full)} from the left, ${percent(top / full)} from the top`;
      boxes[i].setAttribute("aria-label", `${view} crop, ${where}; the arrow keys move it, Enter keeps the pair`);
      Object.assign(crops[i].canvas, { width: side, height: side });
      crops[i].canvas.getContext("2d").drawImage(canvas, left, top, side, side, 0, 0, side, side);
      say(crops[i].caption, `${view}: ${shown(value(place))}`);
    });
    const now = VIEWS.map((view) => value(model.get(view))), [low, high] = [Math.min(...now), Math.max(...now)];
    const none = high > 0 ? "one has none" : "both have none";
    const factor = low > 0 ? `the larger is ${(high / low).toFixed(1)} times the smaller` : none;
    const name = `${measure[0].toUpperCase()}${measure.slice(1)}`;
    say(reading, `${name} of the query ${shown(now[0])}, of the key ${shown(now[1])}: ${factor}.`);
    const all = places(), values = [], size = `${percent(area)} of the picture`;
    const more = () => { // a few at a time, so that the page stays alive
      const stop = performance.now() + 12; // ms
      while (values.length < all.length && performance.now() < stop) values.push(pair(all[values.length]));
      const done = values.length === all.length, { gap, twice } = ofPairs(values), many = all.length > 1 ? "pairs" : "pair";
      const words = all.length ? `${all.length} ${many} of crops of ${size}: the two differ by ${shown(gap)} on average; `
        + `in ${percent(twice)} one has at least twice the other.` : "No pair is kept yet: keep some, or draw many.";
      scatter.update(values, now, measure, unit, end, words);
      say(summary, done ? words : `Measuring ${all.length} ${many} of crops\u2026`);
      if (!done) waiting = requestAnimationFrame(more);
    };
    more();
  };

  const move = (i, at) => {
    model.set(VIEWS[i], at.map((x) => Math.round(1000 * Math.min(1, Math.max(0, x))) / 1000));
    model.save_changes();
  };
  let drag = null; // which crop, where in it the pointer is, and where the crop was
  const grip = (event) => { // in shares of the picture
    const box = frame.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const free = () => 1 - sideOf(model.get("area"), full) / full; // how far a crop can go
  const follow = (event) => {
    const to = grip(event), room = free();
    move(drag.i, to.map((x, c) => (room ? (x - drag.within[c]) / room : 0)));
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const at = grip(event), room = free(), size = 1 - room;
    const middle = VIEWS.map((view) => model.get(view).map((x) => x * room + size / 2));
    const far = middle.map((m) => Math.max(Math.abs(m[0] - at[0]), Math.abs(m[1] - at[1]))), i = +(far[1] < far[0]); // the nearer
    const inside = far[i] < size / 2, within = at.map((x, c) => (inside ? x - middle[i][c] : 0) + size / 2);
    drag = { i, within, moved: !inside, from: model.get(VIEWS[i]) };
    boxes[i].focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    event.preventDefault(); // no text is selected, no picture is dragged
    if (!inside) follow(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.moved = true;
    follow(event);
  });
  frame.addEventListener("pointerup", () => {
    if (drag?.moved) buttons[0].click();
    drag = null;
  });
  frame.addEventListener("pointercancel", () => { // the finger scrolls the page
    if (drag) move(drag.i, drag.from);
    drag = null;
  });
  boxes.forEach((box, i) => {
    box.addEventListener("keydown", (event) => {
      if (!takes(event, (key) => key in KEYS)) return;
      const [down, right] = KEYS[event.key], [x, y] = model.get(VIEWS[i]);
      move(i, [x + right * NUDGE, y + down * NUDGE]);
    });
    box.addEventListener("click", (event) => { if (!event.detail) buttons[0].click(); }); // by Enter or Space
  });
  const end = live(model, ["picture", "measure", "area", ...VIEWS, "kept", "drawn", "seed"], update);
  return () => {
    cancelAnimationFrame(waiting);
    end();
  };
}

export default { render };
