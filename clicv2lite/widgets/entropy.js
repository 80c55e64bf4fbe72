// The entropy of a patch in the browser: the same bits as patch_entropy() of the package, at float32.

export function patchEntropy(pixels, side, top, left, p, bins, luma) { // bits
  const float = Math.fround, weight = luma.map(float), count = new Uint32Array(bins); // float32 at each step, as torch
  for (let y = top; y < top + p; y++) for (let x = left; x < left + p; x++) {
    const [r, g, b] = [0, 1, 2].map((c) => float(weight[c] * float(pixels[(y * side + x) * 3 + c] / 255)));
    count[Math.min(bins - 1, Math.floor(float(float(float(r + g) + b) * bins)))]++;
  }
  return count.reduce((bits, n) => (n ? bits - n / p ** 2 * Math.log2(n / p ** 2) : bits), 0);
}
