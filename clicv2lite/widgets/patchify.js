// Shifted patchify in the browser: pixel for pixel the same as view_pair() in patchify.py.

const clamp = (x) => Math.min(1, Math.max(0, x));

function cut(pixels, side, top, left, p) { // three planes of p * p numbers in [0, 1]
  const patch = new Float64Array(3 * p * p);
  for (let y = 0, i = 0; y < p; y++) for (let x = 0; x < p; x++, i++) for (let c = 0; c < 3; c++)
    patch[c * p * p + i] = pixels[((top + y) * side + left + x) * 3 + c] / 255;
  return patch;
}

function blurred(plane, p) { // binomial, along the columns and then along the rows, edges repeated
  const taps = [1, 4, 6, 4, 1];
  const pass = (from, step, other) => from.map((_, i) => {
    const at = Math.floor(i / step) % p;
    return taps.reduce((sum, tap, t) => sum + tap / 16 * from[i + (Math.min(p - 1, Math.max(0, at + t - 2)) - at) * step], 0);
  });
  return pass(pass(plane, p), 1);
}

export function augmented(patch, p, noise, { flip, color, blur, luma }) { // augmentation.augment() of one patch
  const n = p * p, out = patch.slice();
  if (noise[0] < flip) for (let i = 0; i < 3 * n; i++) out[i] = patch[i - i % p + p - 1 - i % p];
  const [gain, contrast, saturation] = [1, 2, 3].map((draw) => 1 + color * (2 * noise[draw] - 1));
  const gray = out.subarray(0, n).map((red, i) => luma[0] * red + luma[1] * out[n + i] + luma[2] * out[2 * n + i]);
  const mean = gray.reduce((sum, value) => sum + value, 0) / n;
  for (let i = 0; i < 3 * n; i++) {
    const fixed = gray[i % n] * ((1 - saturation) * contrast * gain) + mean * ((1 - contrast) * gain);
    out[i] = clamp(fixed + out[i] * (saturation * contrast * gain));
  }
  const strength = clamp(1 - noise[4] / blur);
  for (let c = 0; c < 3 && strength; c++) {
    const plane = out.subarray(c * n, (c + 1) * n);
    blurred(plane, p).forEach((value, i) => { plane[i] += strength * (value - plane[i]); });
  }
  return out;
}

const VIEWS = ["query", "key"];

export function move(noise, max, [dy, dx]) { // in pixels, as in views.one_view()
  const distance = Math.min(max, 1 + Math.floor(noise[6] * max));
  return [dy * distance, dx * distance];
}

// The rectangle of the clean patch that is still in the view: [first row, end row, first column, end column].
function source([dy, dx], p, mirrored) {
  const along = (d) => [Math.min(p, Math.max(0, -d)), Math.max(0, p - Math.max(0, d))];
  const [left, right] = along(dx);
  return [...along(dy), ...(mirrored ? [p - right, p - left] : [left, right])];
}
const area = ([top, bottom, left, right]) => Math.max(0, bottom - top) * Math.max(0, right - left);
const common = (a, b) => a.map((edge, i) => (i % 2 ? Math.min : Math.max)(edge, b[i]));

export function viewPair({ pixels, patch: p, max_shift, seed, augment, zeros, overrides, constants }) {
  const { side, directions, mean, draws, flip } = constants, n = (side / p) ** 2;
  const noise = uniforms(seed, n * 2 * draws), fill = zeros === "after" ? mean : [0, 0, 0];
  const images = [0, 1].map(() => new Uint8ClampedArray(side * side * 4)), patches = [];
  for (let k = 0; k < n; k++) {
    const [, , top, left] = corner(k, p, side), clean = cut(pixels, side, top, left, p);
    const views = images.map((image, view) => {
      const own = noise.subarray((2 * k + view) * draws, (2 * k + view + 1) * draws);
      const content = augment ? augmented(clean, p, own, constants) : clean, byHand = overrides[`${VIEWS[view]}:${k}`];
      const direction = byHand ?? Math.floor(own[5] * 8), [dy, dx] = move(own, max_shift, directions[direction]);
      for (let y = 0; y < p; y++) for (let x = 0; x < p; x++) {
        const [from, row, at] = [y - dy, x - dx, ((top + y) * side + left + x) * 4];
        const inside = from >= 0 && from < p && row >= 0 && row < p;
        for (let c = 0; c < 3; c++) image[at + c] = 255 * (inside ? content[(c * p + from) * p + row] : fill[c]);
        image[at + 3] = 255;
      }
      return { dy, dx, direction, turned: byHand !== undefined, mirrored: augment && own[0] < flip };
    });
    const kept = views.map((view) => source([view.dy, view.dx], p, view.mirrored));
    patches.push({ views, kept: kept.map((it) => area(it) / p ** 2), shared: area(common(...kept)) / p ** 2 });
  }
  const average = (share) => patches.reduce((sum, it) => sum + share(it), 0) / n;
  return { images, patches, kept: [0, 1].map((v) => average((it) => it.kept[v])), shared: average((it) => it.shared) };
}

function moved({ dy, dx, mirrored, turned }) {
  const where = [dy < 0 ? "up" : dy > 0 ? "down" : "", dx < 0 ? "left" : dx > 0 ? "right" : ""].filter(Boolean).join(" and ");
  const distance = Math.max(Math.abs(dy), Math.abs(dx));
  return `${mirrored ? "mirrored, " : ""}${distance ? `${px(distance)} ${where}` : "not moved"}${turned ? ", by hand" : ""}`;
}

function arrows({ patch: p, constants, arrows: wanted }, { patches }, view) {
  if (!wanted) return "";
  return patches.map(({ views }, k) => {
    const { dy, dx, turned } = views[view], [, , top, left] = corner(k, p, constants.side);
    const length = Math.hypot(dy, dx), head = Math.min(p / 8, length / 2);
    if (!length) return "";
    const [v, u] = [dy / length * head, dx / length * head]; // the head is two strokes, back from the tip
    const [y, x] = [top + (p + dy) / 2, left + (p + dx) / 2];
    const r = p / 16, ring = turned ? `M${x - dx - r} ${y - dy}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0` : "";
    return `${ring}M${x - dx} ${y - dy}L${x} ${y}M${x - u - v} ${y - v + u}L${x} ${y}L${x - u + v} ${y - v - u}`;
  }).join("");
}

const shifts = (model) => {
  const limit = model.get("patch") / 2;
  return Array.from({ length: limit + 1 }, (_, i) => i);
};

function turn(model, { overrides }, { patches }, k, view, key) { // by 45 degrees, or to direction 1 to 8
  if (key !== "turn" && !/^[1-8]$/.test(key)) return false;
  const direction = key === "turn" ? (patches[k].views[view].direction + 1) % 8 : key - 1;
  model.set("overrides", { ...overrides, [`${VIEWS[view]}:${k}`]: direction });
  model.save_changes();
  return true;
}

function forget(model) {
  if (Object.keys(model.get("overrides")).length) model.set("overrides", {});
}

function buttons(edit, model) {
  const [one, all] = ["Turn the patch by 45°", "Forget turns"].map((text) => make("button", { type: "button" }, text));
  one.addEventListener("click", () => edit("turn"));
  all.addEventListener("click", () => {
    forget(model);
    model.save_changes();
  });
  return [one, all];
}

export default {
  render: (context) => mount(context, {
    name: "Shifted patchify explorer",
    traits: ["patch", "max_shift", "seed", "augment", "zeros", "overrides", "grid", "arrows"],
    panels: ["Query view", "Key view"],
    hint: "Point at a patch, or use the arrow keys on the pictures; "
      + "keys 1 (up) to 8 (clockwise), a double click or the button turn it.",
    sliders: [
      { ...PATCH, change: (patch, model) => { // the shift stays the same share of the patch
        const share = model.get("max_shift") / model.get("patch");
        forget(model); // the same number is now another patch
        model.set("max_shift", Math.round(share * patch));
        model.set("patch", patch);
      } },
      { trait: "max_shift", text: "Largest shift", values: shifts, show: px },
      SEED,
    ],
    checks: [
      GRID,
      { trait: "arrows", text: "Arrows" },
      { trait: "augment", text: "Augment each patch" },
      { trait: "zeros", text: "Zeros before normalisation", on: "before", off: "after" },
    ],
    compute: viewPair,
    marks: arrows,
    edit: turn,
    buttons,
    summary: ({ patch, max_shift, seed, overrides, constants }, { kept, shared }) => {
      const hands = Object.keys(overrides).length;
      return `${(constants.side / patch) ** 2} patches of ${px(patch)}, each moved by ${max_shift > 1 ? "1 to " : ""}`
        + `${px(max_shift)}, seed ${seed}${hands ? `, ${hands} turned by hand` : ""}. `
        + `Of the picture, the query view keeps ${percent(kept[0])}, the key view ${percent(kept[1])}; `
        + `both show ${percent(shared)}.`;
    },
    reading: (state, { patches }, k, view) => {
      const { views: [query, key], shared } = patches[k];
      return `${place(k, state)}, ${VIEWS[view]} view: query ${moved(query)}; key ${moved(key)}; both show ${percent(shared)}.`;
    },
  }),
};
