// Token self-similarity in the browser: the same cosines and likeness as result() in tokens.py.

const LOWEST = -0.5; // the darkest colour of the cosines; few lie below

export function tokenCosines({ picture, block, cosines: raw, constants }) { // of all pairs, G x G row by row
  const { side, patch_sizes: [patch], pictures, scale } = constants, n = (side / patch) ** 2, count = n * (n - 1) / 2;
  const at = block * pictures.length + Math.max(0, pictures.indexOf(picture)), from = raw.byteOffset + 2 * count * at;
  const half = new Int16Array(raw.buffer.slice(from, from + 2 * count)), all = new Float64Array(n * n).fill(1);
  for (let i = 0, k = 0; i < n; i++) for (let j = i + 1; j < n; j++, k++) all[i * n + j] = all[j * n + i] = half[k] / scale;
  return all;
}

const mean = (some) => some.reduce((sum, value) => sum + value, 0) / some.length;

function likenessOf(row, j, columns, channel, temperatures) { // one channel of patch j, from its cosines
  const others = row.filter((_, z) => z !== j), t = temperatures[channel], top = Math.max(...others);
  if (channel === temperatures.length) return mean(others);
  if (t === 0) return top;
  if (t) return top + t * Math.log(mean(others.map((cosine) => Math.exp((cosine - top) / t))));
  const apart = (z, along) => Math.abs(along(z) - along(j));
  const beside = (z) => apart(z, (k) => k % columns) + apart(z, (k) => Math.floor(k / columns)) === 1;
  return mean(row.filter((_, z) => beside(z)));
}

function coloured(values, low, high, side, patch) { // one value a patch -> RGBA
  const image = new Uint8ClampedArray(side * side * 4);
  values.forEach((value, k) => {
    const colour = [...plasma(high > low ? (value - low) / (high - low) : 1), 255], [, , top, left] = corner(k, patch, side);
    for (let y = top; y < top + patch; y++) for (let x = left; x < left + patch; x++) image.set(colour, (y * side + x) * 4);
  });
  return image;
}

export function alike(state) {
  const { pixels, channel, constants } = state, { side, patch_sizes: [patch], channels, temperatures } = constants;
  const all = tokenCosines(state), columns = side / patch, n = columns ** 2, at = channels.indexOf(channel);
  const row = (j) => all.subarray(j * n, (j + 1) * n);
  const values = Array.from({ length: n }, (_, j) => likenessOf(row(j), j, columns, at, temperatures));
  const [low, high] = [Math.min(...values), Math.max(...values)], photo = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let i = 0; i < side * side; i++) photo.set(pixels.subarray(i * 3, i * 3 + 3), i * 4);
  const images = [photo, new Uint8ClampedArray(side * side * 4), coloured(values, low, high, side, patch)];
  return { images, row, values, low, high, columns };
}

export function oneAgainstAll({ constants: { side, patch_sizes: [patch] } }, { row }, k) { // RGBA
  return coloured(row(k), LOWEST, 1, side, patch);
}

const signed = (x) => x.toFixed(2).replace("-", "\u2212");

function legend() {
  const colours = Array.from({ length: 13 }, (_, i) => `rgb(${plasma(i / 12)})`).join(",");
  const bar = make("span", { class: "explorer-bar", style: `background: linear-gradient(to right, ${colours})` });
  const label = "Colours of the cosines: dark blue is minus 0.5 or less, yellow is 1";
  const node = make("div", { class: "explorer-legend", role: "img", "aria-label": label },
    `cosine ${signed(LOWEST)}`, bar, signed(1));
  return { node, update: () => {} };
}

export default {
  render: (context) => mount(context, {
    name: "Token self-similarity explorer",
    traits: ["patch", "block", "channel", "place", "grid", "cosines"],
    panels: ["Picture", "Cosines to the chosen patch", "Likeness of every patch"],
    choices: [{ trait: "channel", text: "Likeness", values: (model) => model.get("constants").channels }],
    sliders: [{
      trait: "block",
      text: "Block",
      values: (model) => Array.from({ length: model.get("constants").blocks }, (_, i) => i),
      show: String,
    }],
    checks: [GRID],
    draws: false,
    extra: legend,
    compute: alike,
    first: ({ place }) => place,
    follow: { panel: 1, image: oneAgainstAll },
    titles: (_, { low, high }) =>
      ["Picture", "Cosines to the chosen patch", `Likeness of every patch, ${signed(low)} to ${signed(high)}`],
    summary: ({ channel, block }, { values }) => {
      const middle = mean(values), deviation = Math.sqrt(mean(values.map((value) => (value - middle) ** 2)));
      return `Likeness (${channel}) in block ${block}: mean ${signed(middle)}, standard deviation ${deviation.toFixed(2)} over `
        + `the ${values.length} patches. These two numbers are features of the picture.`;
    },
    reading: (state, { row, values }, k) => {
      const others = Array.from(row(k), (cosine, z) => (z === k ? -Infinity : cosine));
      const twin = others.indexOf(Math.max(...others)), near = others.filter((cosine) => cosine > 0.8).length;
      return `${place(k, state)}: likeness ${signed(values[k])}; ${near} of ${values.length - 1} cosines above 0.8, the `
        + `largest ${signed(others[twin])}, to ${place(twin, state).toLowerCase()}.`;
    },
  }),
};
