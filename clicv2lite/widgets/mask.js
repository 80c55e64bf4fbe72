// Masked entropy in the browser: the same masks, entropies and predictions as masked_entropy() in mask.py.

// viridis (Smith and van der Walt, CC0) at 33 even steps
const VIRIDIS = ("440154 470d60 48186a 482374 472d7b 453781 424086 3e4989 3b528b 375b8d 33638d "
  + "2f6b8e 2c728e 297a8e 26828e 23898e 21918c 1f988b 1fa088 22a785 28ae80 32b67a "
  + "3fbc73 4ec36b 5ec962 70cf57 84d44b 98d83e addc30 c2df23 d8e219 ece51b fde725")
  .split(" ").map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));

export function viridis(share) { // 0..1 -> [red, green, blue]
  const at = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1), i = Math.min(VIRIDIS.length - 2, Math.floor(at));
  return VIRIDIS[i].map((low, c) => low + (at - i) * (VIRIDIS[i + 1][c] - low));
}

export function visibleCount(patches, ratio) { // rounds halves to even, as Python does
  const masked = patches * ratio, half = masked % 1 === 0.5;
  return Math.max(1, patches - (half ? 2 * Math.round(masked / 2) : Math.round(masked)));
}

const average = (some) => (some.length ? some.reduce((sum, value) => sum + value, 0) / some.length : null);

// For each patch, the mean over its visible neighbours (of eight); without one, the mean over all visible patches.
export function neighboursMean(entropy, seen, columns) {
  const all = average(entropy.filter((_, k) => seen[k])), inside = (at) => at >= 0 && at < columns;
  return entropy.map((_, k) => {
    const row = Math.floor(k / columns), column = k % columns, known = [];
    for (let y = row - 1; y <= row + 1; y++) for (let x = column - 1; x <= column + 1; x++) {
      const other = y * columns + x;
      if (inside(y) && inside(x) && other !== k && seen[other]) known.push(entropy[other]);
    }
    return average(known) ?? all;
  });
}

// The model's own answer, from Python or stored by Python in advance: one number per patch, or null.
export function decoded({ picture, patch, ratio, seed, answer, predictions, constants }, n) {
  const { model, ratios, seeds, pictures } = constants, step = ratios.indexOf(ratio);
  if (patch !== model) return null;
  if (answer.picture === picture && answer.ratio === ratio && answer.seed === seed) return answer.bits;
  if (step < 0 || seed >= seeds) return null; // Python will answer
  const from = predictions.byteOffset + 4 * n * ((pictures.indexOf(picture) * ratios.length + step) * seeds + seed);
  return Array.from(new Float32Array(predictions.buffer.slice(from, from + 4 * n)));
}

export function maskedEntropy(state) {
  const { pixels, patch: p, ratio, seed, constants } = state, { side, patch_sizes, bins: choice, luma } = constants;
  const columns = side / p, n = columns ** 2, bins = choice[patch_sizes.indexOf(p)];
  const noise = uniforms(seed, n), order = Array.from({ length: n }, (_, k) => k).sort((a, b) => noise[a] - noise[b]);
  const visible = new Set(order.slice(0, visibleCount(n, ratio)));
  const seen = Array.from({ length: n }, (_, k) => visible.has(k));
  const entropy = seen.map((_, k) => patchEntropy(pixels, side, ...corner(k, p, side).slice(2), p, bins, luma));
  const [meanVisible, meanMasked] = [true, false].map((kind) => average(entropy.filter((_, k) => seen[k] === kind)));
  const decoder = decoded(state, n), neighbours = neighboursMean(entropy, seen, columns);
  const predictions = { ...(decoder && { decoder }), neighbours, visible: entropy.map(() => meanVisible) };
  const squared = (by) => average(by.map((value, k) => (value - entropy[k]) ** 2).filter((_, k) => !seen[k]));
  const errors = Object.fromEntries(Object.entries(predictions).map(([name, by]) => [name, squared(by)]));
  const predicted = decoder ?? neighbours;
  const images = Array.from({ length: 4 }, () => new Uint8ClampedArray(side * side * 4));
  for (let k = 0; k < n; k++) {
    const [, , top, left] = corner(k, p, side);
    const [truth, guess] = [entropy, predicted].map((bits) => [...viridis(bits[k] / Math.log2(bins)), 255]);
    for (let y = top; y < top + p; y++) for (let x = left; x < left + p; x++) {
      const at = y * side + x;
      images[1].set(truth, at * 4);
      if (seen[k]) images[0].set([...pixels.subarray(at * 3, at * 3 + 3), 255], at * 4);
      else [images[2], images[3]].forEach((image, i) => image.set(i ? guess : truth, at * 4));
    }
  }
  const patches = entropy.map((bits, k) => ({ entropy: bits, seen: seen[k], predicted: predicted[k] }));
  return { images, patches, bins, visible: visible.size, meanVisible, meanMasked, predictions, errors };
}

function legend() {
  const colours = VIRIDIS.map((rgb) => `rgb(${rgb})`).join(",");
  const bar = make("span", { class: "explorer-bar", style: `background: linear-gradient(to right, ${colours})` });
  const end = make("span");
  const node = make("div", { class: "explorer-legend", role: "img" }, make("span", {}, "0"), bar, end);
  const update = (_, { bins }) => {
    end.textContent = `${Math.log2(bins)}\u00a0bits`;
    node.setAttribute("aria-label", `Colours: dark violet is 0, green ${Math.log2(bins) / 2}, yellow ${Math.log2(bins)} bits`);
  };
  return { node, update };
}

const bits = (entropy) => `${entropy.toFixed(2)}\u00a0bits`;

const BY = {
  decoder: "the decoder",
  neighbours: "the mean of the visible neighbours",
  visible: "the mean of all visible patches",
};

function errorsInWords({ patch, constants: { model } }, { errors, meanMasked }) {
  const unknown = model && patch !== model ? ` The model knows only patches of ${px(model)}.` : "";
  if (meanMasked === null) return `Nothing is left to predict.${unknown}`;
  const each = Object.entries(errors).map(([name, error]) => `${BY[name]} ${error.toFixed(2)}`).join(", ");
  return `Mean squared error in bits², of ${each}.${unknown}`;
}

function difference(by, { entropy, predicted }) {
  const gap = predicted - entropy, size = Math.abs(gap).toFixed(2);
  return `${by} says ${bits(predicted)}, ${size === "0.00" ? "just right" : `${size} too ${gap > 0 ? "high" : "low"}`}`;
}

export default {
  render: (context) => mount(context, {
    name: "Masked entropy explorer",
    traits: ["patch", "ratio", "seed", "grid", "predictions", "answer"],
    panels: ["Visible patches", "Entropy of every patch", "What the decoder must predict", "What the decoder predicts"],
    sliders: [
      { trait: "ratio", text: "Mask ratio", values: (model) => model.get("constants").ratios, show: percent },
      PATCH,
      SEED,
    ],
    checks: [GRID],
    extra: legend,
    compute: maskedEntropy,
    titles: ({ patch, constants: { model } }, { errors }) => {
      const other = model && patch !== model ? ` (the model knows only ${px(model)})` : "";
      return ["Visible patches", "Entropy of every patch", "What the decoder must predict",
        "decoder" in errors ? "What the decoder predicts" : `Prediction: mean of the visible neighbours${other}`];
    },
    summary: (state, drawing) => {
      const { patch, ratio, seed } = state, { patches, bins, visible, meanVisible, meanMasked } = drawing;
      return `${visible} of ${patches.length} patches of ${px(patch)} visible (mask ratio ${percent(ratio)}, seed ${seed}); `
        + `${bins} brightness bins, at most ${Math.log2(bins)}\u00a0bits. Mean entropy: visible ${bits(meanVisible)}, `
        + `masked ${meanMasked === null ? "none" : bits(meanMasked)}. ${errorsInWords(state, drawing)}`;
    },
    reading: (state, { patches, errors }, k) => {
      const by = "decoder" in errors ? BY.decoder : BY.neighbours, it = patches[k];
      return `${place(k, state)}: ${bits(it.entropy)}, ${it.seen ? "visible" : `masked; ${difference(by, it)}`}.`;
    },
  }),
};
