// Patch-wise InfoNCE in the browser: the same logits, ranks and losses as contrast() in similarity.py.

// A copy, because the bytes of a trait may start at an address that is not a multiple of four.
const floats = (raw) => new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));

export function similarities({ query_features, key_features, constants: { dim } }) { // q·k of all pairs, N x N row by row
  const [q, k] = [query_features, key_features].map(floats), n = q.length / dim, all = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    let sum = 0;
    for (let c = 0; c < dim; c++) sum += q[i * dim + c] * k[j * dim + c];
    all[i * n + j] = sum;
  }
  return all;
}

function admitted(query, key, patches, negatives) { // true for the positive and the negatives: the opposite of infonce.excluded()
  const sameImage = Math.floor(query / patches) === Math.floor(key / patches), samePlace = query % patches === key % patches;
  if (sameImage && samePlace) return true;
  return negatives === "batch" || (negatives === "other-images" ? !sameImage
    : negatives === "same-position" ? samePlace : sameImage);
}

// For one query: the logits (NaN where a key is left out), and the loss.
function row(all, n, query, patches, { temperature, negatives }) {
  const logits = new Float64Array(n).fill(NaN), positive = all[query * n + query] / temperature;
  let hardest = -1, above = 0, candidates = 0;
  for (let key = 0; key < n; key++) {
    if (!admitted(query, key, patches, negatives)) continue;
    const logit = logits[key] = all[query * n + key] / temperature;
    candidates++;
    if (key === query) continue;
    if (logit > positive) above++;
    if (hardest < 0 || logit > logits[hardest]) hardest = key;
  }
  const top = Math.max(positive, logits[hardest]); // subtract the largest, so that no exponential overflows
  let sum = 0;
  for (let key = 0; key < n; key++) if (!Number.isNaN(logits[key])) sum += Math.exp(logits[key] - top);
  return { logits, candidates, hardest, rank: above + 1, loss: top + Math.log(sum) - positive };
}

export function contrast(state, all = similarities(state)) {
  const { constants, image, patch } = state, n = Math.sqrt(all.length), patches = (constants.side / constants.patch) ** 2;
  const chosen = image * patches + patch, mine = row(all, n, chosen, patches, state);
  const shift = mine.loss + mine.logits[chosen]; // the logarithm of the softmax's denominator
  let total = 0, first = 0;
  for (let query = 0; query < n; query++) {
    const { loss, rank } = row(all, n, query, patches, state);
    total += loss;
    first += rank === 1;
  }
  const probabilities = mine.logits.map((logit) => Math.exp(logit - shift));
  return { ...mine, chosen, patches, probabilities, probability: Math.exp(-mine.loss), meanLoss: total / n, hits: first / n };
}

// Colours of the maps of the keys, RGBA, one picture after the other; transparent where a key is left out.
export function heat(state, drawing = contrast(state)) {
  const { pixels, constants, show, beneath } = state;
  const { side, patch } = constants, { patches, chosen } = drawing, values = drawing[show], n = values.length / patches;
  const known = values.filter((value) => !Number.isNaN(value));
  const [low, high] = [show === "logits" ? Math.min(...known) : 0, Math.max(...known)];
  const images = Array.from({ length: n }, () => new Uint8ClampedArray(side * side * 4));
  values.forEach((value, key) => {
    if (Number.isNaN(value)) return;
    const colour = plasma(high > low ? (value - low) / (high - low) : 1), i = Math.floor(key / patches);
    const [, , top, left] = corner(key % patches, patch, side);
    for (let y = top; y < top + patch; y++) for (let x = left; x < left + patch; x++) {
      const at = y * side + x, from = ((n + i) * side * side + at) * 3; // key views come after the query views
      const gray = 0.299 * pixels[from] + 0.587 * pixels[from + 1] + 0.114 * pixels[from + 2];
      images[i].set([...(beneath ? colour.map((c) => 0.75 * c + 0.25 * gray) : colour), 255], at * 4);
    }
  });
  return { images, low, high };
}

const number = (x, digits = 2) => x.toFixed(digits).replace("-", "\u2212");
const chance = (p) => (p > 0 && p < 0.001 ? "below 0.1\u00a0%" : `${(100 * p).toFixed(1)}\u00a0%`);
const nats = (x) => `${number(x)}\u00a0nats`;

const NEGATIVE = {
  batch: "all other patches",
  "other-images": "patches of other images",
  "same-position": "same position, other images",
  "same-image": "same image, other patches",
};
const NEGATIVES = { trait: "negatives", text: "Negatives", values: (model) => model.get("constants").negatives };
const TRAITS = ["image", "patch", "temperature", "negatives", "show", "beneath", "grid"];
const STEPS = Array.from({ length: 20 }, (_, i) => (i + 1) / 20);
const IDLE = "Point at a key, or use the arrow keys on the key views, to read its logit.";

function outline(k, { side, patch }) {
  const [, , top, left] = corner(k, patch, side), inset = 1; // inside the cell: at the edge of the picture, half of the line would be hidden
  return `M${left + inset} ${top + inset}h${patch - 2 * inset}v${patch - 2 * inset}h${2 * inset - patch}z`;
}

function choices(model, name) { // the query's image: small pictures, one of them chosen
  const { names, side } = model.get("constants"), group = `image-${Math.random().toString(36).slice(2)}`;
  const boxes = names.map((text, i) => {
    const box = input("radio", group), canvas = make("canvas", { width: side, height: side, "aria-hidden": "true" });
    box.addEventListener("input", () => {
      model.set("image", i);
      model.save_changes();
    });
    return { box, canvas, node: make("label", {}, box, canvas, make("span", {}, text)) };
  });
  const legend = make("legend", {}, name);
  return { boxes, node: make("fieldset", { class: "similarity-choices" }, legend, ...boxes.map(({ node }) => node)) };
}

function temperatureSlider(model) { // with a tick at the paper's value, and a button that goes there
  const { paper } = model.get("constants"), ticks = make("datalist", { id: `ticks-${Math.random().toString(36).slice(2)}` });
  const show = (tau) => tau.toFixed(2);
  const base = slider(model, { trait: "temperature", text: "Temperature", values: () => STEPS, show });
  base.node.querySelector("input").setAttribute("list", ticks.id);
  base.node.append(ticks);
  const button = make("button", { type: "button" }, `The paper's ${paper}`);
  button.addEventListener("click", () => {
    model.set("temperature", paper);
    model.save_changes();
  });
  const update = () => {
    base.update();
    const now = model.get("temperature"), before = STEPS.filter((tau) => tau < paper).length;
    ticks.replaceChildren(make("option", { value: before + (!STEPS.includes(now) && now < paper) }));
  };
  return { node: base.node, button, update };
}

function legend() {
  const colours = PLASMA.map((rgb) => `rgb(${rgb})`).join(",");
  const bar = make("span", { class: "explorer-bar", style: `background: linear-gradient(to right, ${colours})` });
  const [from, to] = [make("span"), make("span")], node = make("div", { class: "explorer-legend", role: "img" }, from, bar, to);
  const update = ({ show }, { low, high }) => {
    const text = show === "logits" ? (x) => `logit ${number(x)}` : chance;
    [from.textContent, to.textContent] = [text(low), text(high)];
    node.setAttribute("aria-label", `Colours: dark blue is ${text(low)}, yellow is ${text(high)}`);
  };
  return { node, update };
}

const sample = (solid) => {
  const svg = makeSvg("svg", { viewBox: "0 0 16 16", class: "similarity-sample", "aria-hidden": "true" });
  lines(svg, solid ? "chosen" : "hardest")("M2 2h12v12h-12z");
  return svg;
};

function frame(label, ...children) { // pictures that the arrow keys move over
  const attributes = { class: "explorer-panels", role: "application", tabindex: 0, "aria-label": label };
  return keepKeys(make("div", attributes, ...children));
}

function render({ model, el }) {
  const { side, patch, names } = model.get("constants"), columns = side / patch, patches = columns ** 2;
  const query = panel("Query view", side), keys = names.map((name) => panel(`Keys of ${name}`, side));
  const hard = keys.map(({ node }) => lines(node.querySelector("svg"), "hardest"));
  const queryFrame = frame("Query view: arrow keys choose a patch", query.node);
  const keyFrame = frame("Key views: arrow keys read the logit of a key", ...keys.map(({ node }) => node));
  const images = choices(model, "Query image"), colours = legend();
  const tau = temperatureSlider(model), negatives = choice(model, NEGATIVES);
  const checks = [
    { trait: "show", text: "Softmax probabilities", on: "probabilities", off: "logits" },
    { trait: "beneath", text: "Pictures beneath" },
    GRID,
  ].map((each) => check(model, each));
  const [reading, key, summary] = ["reading", "key", "summary"].map((name) =>
    make("p", { class: `explorer-${name}`, "aria-live": "polite" }));
  const sign = (solid, words) => make("span", { class: "similarity-sign" }, sample(solid), words);
  const signs = [sign(true, "the positive"), sign(false, "the hardest negative")];
  const explain = make("p", { class: "similarity-signs" }, ...signs);
  el.append(make("div", { class: "explorer similarity", role: "group", "aria-label": "Similarity explorer" },
    make("div", { class: "similarity-views" },
      make("div", { class: "similarity-query" }, queryFrame, images.node),
      make("div", { class: "similarity-keys" }, keyFrame, explain, colours.node)),
    reading, key, summary,
    make("div", { class: "explorer-sliders" }, tau.node, tau.button, negatives.node),
    make("div", { class: "explorer-checks" }, ...checks.map(({ node }) => node))));

  let all, pixels, state, drawing, pointed = null;
  const cell = (k) => outline(k % patches, { side, patch });
  const where = (k) => `row ${Math.floor(k % patches / columns) + 1}, column ${k % columns + 1}`;
  const read = (at) => { // one key
    pointed = at;
    keys.forEach(({ marks }, i) => marks(at !== null && Math.floor(at / patches) === i ? cell(at) : ""));
    if (at === null) return say(key, IDLE);
    const logit = drawing.logits[at], role = at === drawing.chosen ? "the positive" : "a negative";
    say(key, `Key ${names[Math.floor(at / patches)]}, ${where(at)}: ` + (Number.isNaN(logit) ? "left out."
      : `${role}, logit ${number(logit)}, probability ${chance(drawing.probabilities[at])}.`));
  };
  const update = () => {
    state = Object.fromEntries(["constants", ...TRAITS].map((name) => [name, model.get(name)]));
    drawing = contrast(state, all);
    Object.assign(drawing, heat({ ...state, pixels }, drawing));
    const { chosen, hardest, rank, candidates, loss, logits, probability, meanLoss, hits } = drawing;
    for (const each of [tau, negatives, ...checks]) each.update();
    images.boxes.forEach(({ box }, i) => { box.checked = i === state.image; });
    query.canvas.getContext("2d").drawImage(images.boxes[state.image].canvas, 0, 0);
    query.rename(`Query view of ${names[state.image]}`);
    query.chosen(cell(state.patch));
    for (const each of [query, ...keys]) each.grid(state.grid ? gridLines(patch, side) : "");
    keys.forEach(({ canvas, chosen: positive }, i) => {
      const mark = (k) => (Math.floor(k / patches) === i ? cell(k) : "");
      canvas.getContext("2d").putImageData(new ImageData(drawing.images[i], side, side), 0, 0);
      positive(mark(chosen));
      hard[i](mark(hardest));
    });
    colours.update(state, drawing);
    say(reading, `Row ${Math.floor(state.patch / columns) + 1}, column ${state.patch % columns + 1} of ${names[state.image]}: `
      + `the positive has logit ${number(logits[chosen])}, rank ${rank} of ${candidates}, probability ${chance(probability)}; `
      + `loss ${nats(loss)}. Hardest negative: ${names[Math.floor(hardest / patches)]}, ${where(hardest)}, `
      + `logit ${number(logits[hardest])}.`);
    say(summary, `Temperature ${state.temperature.toFixed(2)}, negatives: ${NEGATIVE[state.negatives]}. `
      + `Over all ${names.length * patches} patches the mean loss is ${nats(meanLoss)}, where chance is `
      + `ln\u00a0${candidates} = ${nats(Math.log(candidates))}; ${percent(hits)} have their positive on rank 1.`);
    read(pointed);
  };
  const load = () => { // new views come from Python
    const bytes = (name) => {
      const raw = model.get(name);
      return new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength);
    };
    pixels = bytes("pixels");
    all = similarities({
      constants: model.get("constants"), query_features: bytes("query_features"), key_features: bytes("key_features"),
    });
    images.boxes.forEach(({ canvas }, i) => {
      const picture = new ImageData(side, side), from = pixels.subarray(i * side * side * 3);
      for (let at = 0; at < side * side; at++) picture.data.set([...from.subarray(at * 3, at * 3 + 3), 255], at * 4);
      canvas.getContext("2d").putImageData(picture, 0, 0);
    });
  };

  const under = (event, pictures) => { // [which picture, which patch], or null beside them
    const picture = event.target.closest(".explorer-picture"), i = pictures.findIndex(({ node }) => node.contains(picture));
    if (!picture || i < 0) return null;
    const box = picture.getBoundingClientRect();
    const at = (share) => Math.min(columns - 1, Math.max(0, Math.floor(share * columns)));
    return [i, at((event.clientY - box.top) / box.height) * columns + at((event.clientX - box.left) / box.width)];
  };
  const choose = (k) => {
    model.set("patch", k);
    model.save_changes();
  };
  queryFrame.addEventListener("click", (event) => {
    const hit = under(event, [query]);
    if (hit) choose(hit[1]);
  });
  const point = (event) => {
    const hit = under(event, keys);
    if (hit) read(hit[0] * patches + hit[1]);
  };
  keyFrame.addEventListener("pointermove", point);
  keyFrame.addEventListener("pointerdown", point); // a tap
  const steer = (node, now, move, leave) => node.addEventListener("keydown", (event) => {
    if (!takes(event, (key) => key in KEYS || (leave && key === "Escape"))) return;
    if (event.key === "Escape") return leave();
    const [down, right] = KEYS[event.key], k = now();
    if (k === null) return move(0, 0, 0);
    move(Math.floor(k / patches), Math.floor(k % patches / columns) + down, k % columns + right);
  });
  const inside = (index) => Math.min(columns - 1, Math.max(0, index));
  steer(queryFrame, () => state.patch, (_, row, column) => choose(inside(row) * columns + inside(column)));
  steer(keyFrame, () => pointed, (i, row, column) => { // from the edge of one picture to the next one
    const next = Math.min(names.length - 1, Math.max(0, i + (column === columns) - (column < 0)));
    read(next * patches + inside(row) * columns + (next === i ? inside(column) : column < 0 ? columns - 1 : 0));
  }, () => read(null));
  const views = ["pixels", "key_features"];
  const ends = [live(model, views, load), live(model, [...views, ...TRAITS], update)]; // loaded before they are drawn
  return () => ends.forEach((end) => end());
}

export default { render };
