// Canny's edges in the browser: the same pixels as skimage.feature.canny with its own thresholds and sigma 1.

const LOW = 0.1, HIGH = 0.2, EPSILON = 2 ** -52;
const BELL = Array.from({ length: 5 }, (_, x) => Math.exp(-x * x / 2)); // SciPy cuts it at four sigma
const GAUSS = BELL.map((w) => w / (BELL[0] + 2 * (BELL[1] + BELL[2] + BELL[3] + BELL[4])));

// Along one axis of a square: weight[0] in the middle, weight[i] at a distance of i, times sign on the far side.
// Outside are zeros, or the pixel at the border again.
function along(image, side, vertical, weight, sign, repeat) {
  const out = new Float64Array(side * side), reach = weight.length - 1, line = new Float64Array(side + 2 * reach);
  const [step, jump] = vertical ? [side, 1] : [1, side];
  for (let start = 0; start < side * jump; start += jump) {
    for (let at = 0; at < side; at++) line[reach + at] = image[start + at * step];
    if (repeat) line.fill(line[reach], 0, reach).fill(line[reach + side - 1], reach + side);
    for (let at = 0; at < side; at++) {
      let sum = weight[0] * line[reach + at];
      for (let i = reach; i > 0; i--) sum += weight[i] * (line[reach + at - i] + sign * line[reach + at + i]);
      out[start + at * step] = sum;
    }
  }
  return out;
}

const smooth = (image, side) => along(along(image, side, true, GAUSS, 1, false), side, false, GAUSS, 1, false);
const slope = (image, side, vertical) => // Sobel's
  along(along(image, side, vertical, [0, -1], -1, true), side, !vertical, [2, 1], 1, true);

let inside = { side: 0 }; // how much of the Gaussian at each pixel lies in the picture
function share(side) {
  if (inside.side !== side) inside = { side, share: smooth(new Float64Array(side * side).fill(1), side) };
  return inside.share;
}

export function canny(luma, side) { // luma (side * side) in 0..255 -> 0 or 1 each
  const weight = share(side);
  const smoothed = smooth(Float64Array.from(luma, (x) => x / 255), side).map((x, i) => x / (weight[i] + EPSILON));
  const down = slope(smoothed, side, true), right = slope(smoothed, side, false);
  const size = down.map((x, i) => Math.sqrt(x * x + right[i] * right[i]));
  const edge = new Uint8Array(side * side), strong = [];
  for (let y = 1; y < side - 1; y++) for (let x = 1; x < side - 1; x++) {
    const i = y * side + x, [d, r] = [down[i], right[i]];
    if (size[i] < LOW) continue;
    const turn = (d >= 0 && r >= 0) || (d <= 0 && r <= 0) ? 1 : -1; // which diagonal the gradient is near
    const steep = Math.abs(d) > Math.abs(r), between = steep ? Math.abs(r / d) : Math.abs(d / r);
    const near = steep ? turn * side : 1, far = turn * side + 1; // the largest gradient along itself is an edge
    const ahead = size[i + far] * between + size[i + near] * (1 - between);
    const behind = size[i - far] * between + size[i - near] * (1 - between);
    if (ahead <= size[i] && behind <= size[i]) {
      edge[i] = 1;
      if (size[i] >= HIGH) strong.push(i);
    }
  }
  const kept = new Uint8Array(side * side); // a weak edge stays if it leads to a strong one
  for (const i of strong) kept[i] = 1;
  while (strong.length) {
    const i = strong.pop();
    for (const dy of [-side, 0, side]) for (const dx of [-1, 0, 1]) if (edge[i + dy + dx] && !kept[i + dy + dx]) {
      kept[i + dy + dx] = 1;
      strong.push(i + dy + dx);
    }
  }
  return kept;
}
