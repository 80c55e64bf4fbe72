// Masked entropy in the browser: the same masks and entropies as masked_entropy() in mask.py.

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

export function patchEntropy(pixels, side, top, left, p, bins, luma) { // bits
  const float = Math.fround, weight = luma.map(float), count = new Uint32Array(bins); // float32 at each step, as torch
  for (let y = top; y < top + p; y++) for (let x = left; x < left + p; x++) {
    const [r, g, b] = [0, 1, 2].map((c) => float(weight[c] * float(pixels[(y * side + x) * 3 + c] / 255)));
    count[Math.min(bins - 1, Math.floor(float(float(float(r + g) + b) * bins)))]++;
  }
  return count.reduce((bits, n) => (n ? bits - n / p ** 2 * Math.log2(n / p ** 2) : bits), 0);
}

export function maskedEntropy({ pixels, patch: p, ratio, seed, constants }) {
  const { side, patch_sizes, bins: choice, luma } = constants, n = (side / p) ** 2, bins = choice[patch_sizes.indexOf(p)];
  const noise = uniforms(seed, n), order = Array.from({ length: n }, (_, k) => k).sort((a, b) => noise[a] - noise[b]);
  const visible = new Set(order.slice(0, visibleCount(n, ratio)));
  const images = [0, 1, 2].map(() => new Uint8ClampedArray(side * side * 4)), patches = [];
  for (let k = 0; k < n; k++) {
    const [, , top, left] = corner(k, p, side), seen = visible.has(k);
    const entropy = patchEntropy(pixels, side, top, left, p, bins, luma);
    const colour = [...viridis(entropy / Math.log2(bins)), 255];
    for (let y = top; y < top + p; y++) for (let x = left; x < left + p; x++) {
      const at = y * side + x;
      if (seen) images[0].set([...pixels.subarray(at * 3, at * 3 + 3), 255], at * 4);
      images[1].set(colour, at * 4);
      if (!seen) images[2].set(colour, at * 4);
    }
    patches.push({ entropy, seen });
  }
  const mean = (some) => some.reduce((sum, { entropy }) => sum + entropy, 0) / some.length;
  const [there, gone] = [patches.filter(({ seen }) => seen), patches.filter(({ seen }) => !seen)];
  const [meanVisible, meanMasked] = [mean(there), gone.length ? mean(gone) : null];
  return { images, patches, bins, visible: there.length, meanVisible, meanMasked };
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

export default {
  render: (context) => mount(context, {
    name: "Masked entropy explorer",
    traits: ["patch", "ratio", "seed", "grid"],
    panels: ["Visible patches", "Entropy of every patch", "What the decoder must predict"],
    sliders: [
      { trait: "ratio", text: "Mask ratio", values: () => Array.from({ length: 20 }, (_, i) => i / 20), show: percent },
      PATCH,
      SEED,
    ],
    checks: [GRID],
    extra: legend,
    compute: maskedEntropy,
    summary: ({ patch, ratio, seed }, { patches, bins, visible, meanVisible, meanMasked }) =>
      `${visible} of ${patches.length} patches of ${px(patch)} visible (mask ratio ${percent(ratio)}, seed ${seed}); `
      + `${bins} brightness bins, at most ${Math.log2(bins)}\u00a0bits. Mean entropy: visible ${bits(meanVisible)}, `
      + `masked ${meanMasked === null ? "none" : bits(meanMasked)}.`,
    reading: (state, { patches }, k) =>
      `${place(k, state)}: ${bits(patches[k].entropy)}, ${patches[k].seen ? "visible" : "masked, to be predicted"}.`,
  }),
};
