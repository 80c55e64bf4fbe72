// The whole model in plain JavaScript: an image goes in, its score and the share of each place in it come out, equal to
// clicv2lite's in Python (book chapter 12). It runs in a worker of the page: no library, no network, nothing is uploaded.
// Matrices are flat typed arrays, row after row, and (n, d) in a comment is a shape. A model is read from the same
// safetensors files as in Python. `page_scorer` in book/_ext checks that they are of this kind.
"use strict";

// --- Files: clicv2lite/models/model.py ---
const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

function half(bits) { // float16 as 16 bits -> number
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const size = exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24;
  return bits >> 15 ? -size : size;
}

function safetensors(bytes) { // -> { config, and each tensor by its name }
  const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const { __metadata__: metadata, ...header } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
  const read = { F16: (part) => Float32Array.from(new Uint16Array(part), half), F64: (part) => new Float64Array(part) };
  const found = Object.entries(header).map(([name, { dtype, data_offsets: [from, to] }]) =>
    [name, read[dtype](bytes.slice(start + from, start + to).buffer)]);
  return { config: JSON.parse(metadata.clicv2lite), ...Object.fromEntries(found) };
}

// --- Pixels: clicv2lite/data/rgb.py, and Pillow's Resample.c and Reduce.c, to the bit ---
const bilinear = (x) => Math.max(0, 1 - Math.abs(x));
const bicubic = (x, a = -0.5) => ((x = Math.abs(x)) < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1
  : x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0);

function taps(inputs, outputs, filter, support, length = inputs) { // which inputs make an output, and their weights
  const scale = length / outputs, wide = Math.max(1, scale), inverse = 1 / wide;
  return Array.from({ length: outputs }, (_, output) => {
    const centre = (output + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support * wide + 0.5));
    const last = Math.min(inputs, Math.trunc(centre + support * wide + 0.5));
    const weights = Array.from({ length: last - first }, (_, i) => filter((i + first - centre + 0.5) * inverse));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

function reduce(source, width, rows, across, down, target, from) { // mean of boxes: (rows, width, 4) -> (., ., 3) at `from`
  for (let y = 0; y < rows; y += down) {
    for (let x = 0; x < width; x += across) {
      const right = Math.min(width, x + across), bottom = Math.min(rows, y + down), count = (right - x) * (bottom - y);
      const factor = Math.trunc(2 ** 24 / count); // Pillow's division is a product of integers
      for (let c = 0; c < 3; c++) {
        let sum = count >> 1;
        for (let v = y; v < bottom; v++) for (let u = x; u < right; u++) sum += source[4 * (v * width + u) + c];
        target[from++] = Math.floor((sum * factor) / 2 ** 24);
      }
    }
  }
  return from;
}

function along(source, width, table, down) { // one pass of a resize, across or down: (h, width, 3) -> the same with fewer or more
  const height = source.length / 3 / width, step = down ? 3 * width : 3, next = down ? 3 : 3 * width, rows = down ? width : height;
  const target = new Uint8Array(rows * table.length * 3);
  table.forEach(({ first, weights }, output) => {
    const whole = weights.map((weight) => Math.round(weight * 2 ** 22));
    for (let row = 0; row < rows; row++) {
      const to = 3 * (down ? output * rows + row : row * table.length + output);
      for (let c = 0; c < 3; c++) {
        let sum = 2 ** 21;
        for (let i = 0, at = row * next + first * step + c; i < whole.length; i++, at += step) sum += source[at] * whole[i];
        target[to + c] = sum >> 22;
      }
    }
  });
  return target;
}

function squashed(bitmap, side) { // an ImageBitmap -> (side, side, 3) in 0..255, transparency on white
  const { width, height } = bitmap, across = Math.trunc(width / side / 2) || 1, down = Math.trunc(height / side / 2) || 1;
  const w = Math.ceil(width / across), h = Math.ceil(height / down), small = new Uint8Array(w * h * 3);
  const strip = Math.min(height, Math.max(1, Math.trunc(2 ** 20 / (width * down))) * down); // a photograph needs no copy of itself
  const canvas = new OffscreenCanvas(width, strip), context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  for (let top = 0, end = 0; top < height; top += strip) {
    const rows = Math.min(strip, height - top);
    context.fillRect(0, 0, width, strip);
    context.drawImage(bitmap, 0, -top);
    end = reduce(context.getImageData(0, 0, width, rows).data, width, rows, across, down, small, end);
  }
  const columns = taps(w, side, bilinear, 1, width / across), rows = taps(h, side, bilinear, 1, height / down);
  const tall = h - side > Math.max(0, 2 * (w - side)); // then Pillow 13 begins with the rows; the rounding depends on it
  return tall ? along(along(small, w, rows, true), w, columns, false) : along(along(small, w, columns, false), side, rows, true);
}

function halved(image, side) { // mean of 2 x 2 pixels: (side, side, 3) -> (side / 2, side / 2, 3)
  const target = new Float32Array(image.length / 4), row = 3 * side;
  for (let y = 0, end = 0; y < side; y += 2) {
    for (let x = 0; x < row; x += 6) {
      for (let at = y * row + x, c = 0; c < 3; c++, at++) target[end++] = (image[at] + image[at + 3] + image[at + row] + image[at + row + 3]) / 4;
    }
  }
  return target;
}

function zoomed(image, side, patch, times) { // clicv2lite/encoders/zoom.py: the middle of each patch, enlarged to fill it
  const target = image.slice(), first = Math.trunc((patch - patch / times) / 2);
  const from = (at) => at - (at % patch) + first + Math.trunc((at % patch) / times);
  for (let y = 0, end = 0; y < side; y++) {
    for (let x = 0; x < side; x++) for (let c = 0; c < 3; c++) target[end++] = image[3 * (from(y) * side + from(x)) + c];
  }
  return target;
}

// --- The encoder: clicv2lite/encoders/plain_vit.py ---
function product(a, b, m, n, k, bias) { // (m, k) times the transpose of (n, k), plus bias (n): (m, n), in tiles of 4 x 4
  const target = new Float32Array(m * n);
  for (let block = 0; block < n; block += 32) { // these rows of b stay in the cache while a passes
    for (let i = 0; i < m; i += 4) {
      const a0 = i * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k;
      for (let j = block, end = Math.min(n, block + 32); j < end; j += 4) {
        const b0 = j * k, b1 = b0 + k, b2 = b1 + k, b3 = b2 + k;
        let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
        let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
        for (let x = 0; x < k; x++) {
          const p0 = a[a0 + x], p1 = a[a1 + x], p2 = a[a2 + x], p3 = a[a3 + x];
          const q0 = b[b0 + x], q1 = b[b1 + x], q2 = b[b2 + x], q3 = b[b3 + x];
          s00 += p0 * q0; s01 += p0 * q1; s02 += p0 * q2; s03 += p0 * q3;
          s10 += p1 * q0; s11 += p1 * q1; s12 += p1 * q2; s13 += p1 * q3;
          s20 += p2 * q0; s21 += p2 * q1; s22 += p2 * q2; s23 += p2 * q3;
          s30 += p3 * q0; s31 += p3 * q1; s32 += p3 * q2; s33 += p3 * q3;
        }
        const sums = [s00, s01, s02, s03, s10, s11, s12, s13, s20, s21, s22, s23, s30, s31, s32, s33];
        for (let t = 0; t < 16; t++) target[(i + (t >> 2)) * n + j + (t & 3)] = sums[t] + (bias ? bias[j + (t & 3)] : 0);
      }
    }
  }
  return target;
}

function normed(tokens, width, eps, weight, bias) { // layer norm of each token (n, width)
  const target = new Float32Array(tokens.length);
  for (let at = 0; at < tokens.length; at += width) {
    let mean = 0, square = 0;
    for (let i = 0; i < width; i++) mean += tokens[at + i] / width;
    for (let i = 0; i < width; i++) square += (tokens[at + i] - mean) ** 2 / width;
    const scale = 1 / Math.sqrt(square + eps);
    for (let i = 0; i < width; i++) target[at + i] = (tokens[at + i] - mean) * scale * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
  }
  return target;
}

function gelu(x) { // x Φ(x), with formula 7.1.26 of Abramowitz and Stegun: to within 1e-7
  const z = Math.abs(x) * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * z);
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-z * z);
  return x < 0 ? 0.5 * x * tail : x * (1 - 0.5 * tail);
}

function attention(qkv, n, width, heads) { // queries, keys and values (n, 3 width) -> (n, width)
  const target = new Float32Array(n * width), d = width / heads;
  const q = new Float32Array(n * d), k = new Float32Array(n * d), v = new Float32Array(d * n); // v lies on its side
  for (let head = 0; head < heads; head++) {
    for (let i = 0; i < n; i++) {
      for (let c = 0, at = i * 3 * width + head * d; c < d; c++, at++) {
        q[i * d + c] = qkv[at] / Math.sqrt(d);
        k[i * d + c] = qkv[at + width];
        v[c * n + i] = qkv[at + 2 * width];
      }
    }
    const share = product(q, k, n, n, d);
    for (let row = 0; row < n * n; row += n) {
      let largest = -Infinity, sum = 0;
      for (let j = row; j < row + n; j++) if (share[j] > largest) largest = share[j];
      for (let j = row; j < row + n; j++) sum += share[j] = Math.exp(share[j] - largest);
      for (let j = row; j < row + n; j++) share[j] /= sum;
    }
    const read = product(share, v, n, d, n);
    for (let i = 0; i < n; i++) target.set(read.subarray(i * d, (i + 1) * d), i * width + head * d);
  }
  return target;
}

function patches(image, side, patch) { // (side, side, 3) in 0..255 -> normalised patches (n, 3 patch patch)
  const grid = side / patch, target = new Float32Array(image.length), mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225];
  for (let place = 0, end = 0; place < grid * grid; place++) {
    const top = Math.trunc(place / grid) * patch, left = (place % grid) * patch;
    for (let c = 0; c < 3; c++) {
      for (let y = top; y < top + patch; y++) {
        for (let x = left; x < left + patch; x++) target[end++] = (image[3 * (y * side + x) + c] / 255 - mean[c]) / std[c];
      }
    }
  }
  return target;
}

function columns(x, patches, channels, side) { // (patches, channels, side, side) -> what a 3 x 3 kernel with stride 2 sees: (patches places, 9 channels)
  const half = side / 2, target = new Float32Array(patches * half * half * channels * 9);
  let end = 0;
  for (let patch = 0; patch < patches; patch++) {
    for (let place = 0; place < half * half; place++) {
      const top = 2 * Math.trunc(place / half) - 1, left = 2 * (place % half) - 1;
      for (let c = 0, plane = patch * channels * side * side; c < channels; c++, plane += side * side) {
        for (let y = top; y < top + 3; y++) {
          for (let x2 = left; x2 < left + 3; x2++, end++) {
            if (y >= 0 && x2 >= 0 && y < side && x2 < side) target[end] = x[plane + y * side + x2]; // outside the patch there are zeros
          }
        }
      }
    }
  }
  return target;
}

function groupNormed(x, patches, places, channels, weight, bias, groups = 8) { // (patches places, channels) -> (patches, channels, places)
  const target = new Float32Array(x.length), wide = channels / groups;
  for (let patch = 0; patch < patches; patch++) {
    for (let group = 0; group < groups; group++) {
      let mean = 0, square = 0;
      const each = (visit) => {
        for (let place = 0; place < places; place++) {
          for (let c = group * wide; c < (group + 1) * wide; c++) visit(x[(patch * places + place) * channels + c], c, place);
        }
      };
      each((value) => { mean += value / (wide * places); });
      each((value) => { square += (value - mean) ** 2 / (wide * places); });
      const scale = 1 / Math.sqrt(square + 1e-5);
      each((value, c, place) => { target[(patch * channels + c) * places + place] = (value - mean) * scale * weight[c] + bias[c]; });
    }
  }
  return target;
}

function stem(weights, x, patches, side) { // clicv2lite/method/stem.py: patches (n, 3, side, side) -> mean and maximum over their places (n, 256)
  const name = "patch_embed.proj.";
  let channels = 3;
  for (let level = 0; level < 3; level++, side /= 2) {
    const get = (part) => [weights[`${name}${part}.${level}.weight`], weights[`${name}${part}.${level}.bias`]];
    const [kernel, offset] = get("convolutions"), places = (side / 2) ** 2, outputs = offset.length;
    const seen = product(columns(x, patches, channels, side), kernel, patches * places, outputs, 9 * channels, offset);
    x = groupNormed(seen, patches, places, outputs, ...get("norms")).map(gelu);
    channels = outputs;
  }
  const target = new Float32Array(2 * patches * channels), places = side * side;
  for (let patch = 0; patch < patches; patch++) {
    for (let c = 0; c < channels; c++) {
      const seen = x.subarray((patch * channels + c) * places, (patch * channels + c + 1) * places);
      target[2 * patch * channels + c] = seen.reduce((a, b) => a + b) / places;
      target[(2 * patch + 1) * channels + c] = seen.reduce((a, b) => Math.max(a, b));
    }
  }
  return target;
}

function positions(stored, from, to, width) { // position embedding (from from, width) -> (to to, width), bicubic
  if (from === to) return stored;
  const table = taps(from, to, bicubic, 2), target = new Float32Array(to * to * width);
  for (let place = 0; place < to * to; place++) {
    const down = table[Math.trunc(place / to)], right = table[place % to];
    down.weights.forEach((a, y) => right.weights.forEach((b, x) => {
      const at = ((down.first + y) * from + right.first + x) * width;
      for (let i = 0; i < width; i++) target[place * width + i] += a * b * stored[at + i];
    }));
  }
  return target;
}

function linear(weights, x, n, name) { // one of the encoder's own linear maps of n tokens
  const bias = weights[`${name}.bias`];
  return product(x, weights[`${name}.weight`], n, bias.length, x.length / n, bias);
}

function embedded(weights, image, side) { // the patch embeddings (n, width), without positions
  const { patch, patch_embed: embed } = weights.config.encoder, n = (side / patch) ** 2, cut = patches(image, side, patch);
  return embed === "conv-pool" ? linear(weights, stem(weights, cut, n, patch), n, "patch_embed.proj.linear") : linear(weights, cut, n, "patch_embed.proj");
}

function* blocks(weights, image, side) { // the tokens (n, width) after each block
  const { patch, width, depth, heads, size } = weights.config.encoder, grid = side / patch, n = grid * grid;
  const get = (name) => [weights[`${name}.weight`], weights[`${name}.bias`]];
  const add = (x, y) => x.map((value, i) => value + y[i]);
  let tokens = add(embedded(weights, image, side), positions(weights.pos_embed, size / patch, grid, width));
  for (let block = 0; block < depth; block++) {
    const name = `blocks.${block}.`;
    const qkv = linear(weights, normed(tokens, width, 1e-6, ...get(`${name}norm1`)), n, `${name}attn.qkv`);
    tokens = add(tokens, linear(weights, attention(qkv, n, width, heads), n, `${name}attn.proj`));
    const hidden = linear(weights, normed(tokens, width, 1e-6, ...get(`${name}norm2`)), n, `${name}mlp.fc1`).map(gelu);
    tokens = add(tokens, linear(weights, hidden, n, `${name}mlp.fc2`));
    yield tokens;
  }
}

// --- How similar patches are: clicv2lite/encoders/token_similarity.py ---
function cosines(tokens, width) { // (n, width) -> (n, n)
  const n = tokens.length / width, unit = tokens.slice();
  for (let at = 0; at < unit.length; at += width) {
    let square = 0;
    for (let i = at; i < at + width; i++) square += unit[i] ** 2;
    for (let i = at; i < at + width; i++) unit[i] /= Math.sqrt(square) || 1;
  }
  return product(unit, unit, n, n, width);
}

function beside(cosine, grid, i) { // the mean cosine of place i with the places beside, above and below
  const x = i % grid, y = Math.trunc(i / grid), n = grid * grid;
  const near = [[i - 1, x], [i + 1, x < grid - 1], [i - grid, y], [i + grid, y < grid - 1]].filter(([, inside]) => inside);
  return near.reduce((sum, [j]) => sum + cosine[i * n + j], 0) / near.length;
}

function perPlace(cosine, grid, values) { // -> channels (n) of what `values` makes of each place and its cosines with the others
  const n = grid * grid, rows = Array.from({ length: n }, (_, i) => values((visit) => {
    for (let j = 0; j < n; j++) if (i !== j) visit(cosine[i * n + j]);
  }, i));
  return rows[0].map((_, channel) => Float64Array.from(rows, (row) => row[channel]));
}

function likeness(tokens, grid, width) { // (n, width) -> 5 channels (n): largest cosine, two soft maxima, mean, neighbours
  const cosine = cosines(tokens, width), others = grid * grid - 1;
  return perPlace(cosine, grid, (visitOthers, i) => {
    let largest = -1, few = 0, many = 0, sum = 0;
    visitOthers((c) => {
      if (c > largest) largest = c;
      few += Math.exp((c - 1) / 0.05);
      many += Math.exp((c - 1) / 0.2);
      sum += c;
    });
    return [largest, 1 + 0.05 * Math.log(few / others), 1 + 0.2 * Math.log(many / others), sum / others, beside(cosine, grid, i)];
  });
}

function nearest(tokens, grid, width) { // (n, width) -> 8 channels (n): two largest cosines, rarity, neighbours; the same without the mean
  const n = grid * grid, apart = new Float32Array(n * (width + 1)), means = new Float64Array(width);
  let length = 0;
  for (let i = 0; i < n; i++) {
    let square = 0;
    for (let d = 0; d < width; d++) { means[d] += tokens[i * width + d] / n; square += tokens[i * width + d] ** 2; }
    length += Math.sqrt(square) / n;
  }
  for (let i = 0; i < n; i++) {
    for (let d = 0; d < width; d++) apart[i * (width + 1) + d] = tokens[i * width + d] - means[d];
    apart[i * (width + 1) + width] = 1e-3 * length;
  }
  return [cosines(tokens, width), cosines(apart, width + 1)].flatMap((cosine) => perPlace(cosine, grid, (visitOthers, i) => {
    let first = -2, second = -2, alike = 1;
    visitOthers((c) => {
      if (c > first) { second = first; first = c; } else if (c > second) second = c;
      alike += Math.exp((c - 1) / 0.02);
    });
    return [first, second, 1 / alike, beside(cosine, grid, i)];
  }));
}

// --- The head, its bounds and its map: clicv2lite/heads, clicv2lite/encoders/place_shares.py ---
function run({ encoders, head }, image, report) { // (S, S, 3) in 0..255 -> { score, shares: (grid, grid) }
  const side = encoders[0].config.pool.size, grid = Math.max(...encoders.map(({ config }) => side / config.encoder.patch));
  const shares = new Float64Array(grid * grid).fill(head.intercept[0]);
  const sizes = [[image, side], [halved(image, side), side / 2]];
  const steps = 1.25 + Math.max(...encoders.map(({ config }) => (config.pool.zoom ?? []).length / config.encoder.depth)); // an encoder's part
  let feature = 0, done = 0, score = head.intercept[0];
  for (const encoder of encoders) {
    const { width, patch, depth } = encoder.config.encoder;
    const { read, blocks: wanted, zoom = [] } = encoder.config.pool, reading = { likeness, nearest }[read];
    const join = (tokens, small) => { // what the tokens (small small, width) say joins the score and the shares
      const repeat = grid / small, n = small * small;
      const channels = reading(normed(tokens, width, 1e-5), small, width), means = channels.map((c) => c.reduce((a, b) => a + b) / n);
      const deviations = channels.map((c, i) => Math.sqrt(c.reduce((sum, value) => sum + (value - means[i]) ** 2, 0) / n));
      for (const std of [false, true]) {
        channels.forEach((channel, i) => {
          const weight = head.weight[feature] / head.scale[feature], mean = head.mean[feature++];
          score += weight * ((std ? deviations[i] : means[i]) - mean);
          for (let place = 0; place < grid * grid; place++) {
            const value = channel[Math.trunc(place / grid / repeat) * small + Math.trunc((place % grid) / repeat)];
            const share = std ? (deviations[i] ? (value - means[i]) ** 2 / deviations[i] : 0) : value;
            shares[place] += weight * (share - mean);
          }
        });
      }
    };
    for (const [pixels, length] of sizes) {
      let block = 0;
      for (const tokens of blocks(encoder, pixels, length)) {
        done += 1 / depth / 4 ** (length < side); // the halved image has a quarter of the places
        report(done / steps / encoders.length);
        if (wanted.includes(block++)) join(tokens, length / patch);
      }
    }
    for (const times of zoom) { // about as long as a block
      join(embedded(encoder, zoomed(image, side, patch, times), side), side / patch);
      report((done += 1 / depth) / steps / encoders.length);
    }
  }
  return { score: bounded(score), shares, grid };
}

function bounded(score, edge = 0.05) { // clicv2lite/heads/bounds.py
  const distance = Math.min(score, 1 - score), bent = distance < edge ? edge ** 2 / (2 * edge - distance) : distance;
  return score < 0.5 ? bent : 1 - bent;
}

function smooth(map, grid, places = 1.5) { // clicv2lite/heads/heatmap.py: Gaussian with reflected borders
  const reach = Math.trunc(4 * places + 0.5), weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / places) ** 2));
  const total = weights.reduce((a, b) => a + b), inside = (i) => { const r = ((i % (2 * grid)) + 2 * grid) % (2 * grid); return r < grid ? r : 2 * grid - 1 - r; };
  const pass = (source, at) => source.map((_, place) => weights.reduce((sum, weight, i) => sum + (weight / total) * source[at(place, i - reach)], 0));
  const columns = pass(map, (place, i) => inside(Math.trunc(place / grid) + i) * grid + (place % grid));
  return pass(columns, (place, i) => Math.trunc(place / grid) * grid + inside((place % grid) + i));
}

function relative(map) { // clicv2lite/heads/heatmap.py: the 2nd percentile becomes 0, the 98th 1
  const sorted = map.slice().sort(), percentile = (p) => {
    const at = (p / 100) * (sorted.length - 1), below = Math.floor(at);
    return sorted[below] + (at - below) * (sorted[Math.ceil(at)] - sorted[below]);
  };
  const low = percentile(2), high = percentile(98);
  return map.map((value) => (high - low > 1e-9 ? (value - low) / (high - low) : 0.5));
}

const MAGMA = [0x000004, 0x1d1147, 0x51127c, 0x832681, 0xb73779, 0xe75263, 0xfc8961, 0xfec488, 0xfcfdbf];
function coloured(map, grid, width, height) { // levels (grid, grid) -> colours of each pixel, as clicv2lite/heads/heatmap.py
  const across = taps(grid, width, bilinear, 1), down = taps(grid, height, bilinear, 1), target = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    let level = 0;
    const { first: top, weights: rows } = down[Math.trunc(pixel / width)], { first: left, weights: columns } = across[pixel % width];
    rows.forEach((a, y) => columns.forEach((b, x) => { level += a * b * Math.min(1, Math.max(0, map[(top + y) * grid + left + x])); }));
    const stop = Math.min(MAGMA.length - 2, Math.floor(level * (MAGMA.length - 1))), part = level * (MAGMA.length - 1) - stop;
    [16, 8, 0].forEach((shift, c) => {
      target.data[4 * pixel + c] = (1 - part) * ((MAGMA[stop] >> shift) & 255) + part * ((MAGMA[stop + 1] >> shift) & 255);
    });
    target.data[4 * pixel + 3] = 255;
  }
  return target;
}

// --- The worker: first the model comes, then one image after the other ---
let model;
self.onmessage = ({ data: { files, bitmap, shown, number } }) => { // each answer says which image it is about
  if (files) {
    const { encoders, head, thresholds } = files;
    model = { encoders: encoders.map((file) => safetensors(bytesOf(file))), head: safetensors(bytesOf(head)), thresholds };
    return;
  }
  try {
    const began = performance.now(), side = model.encoders[0].config.pool.size, square = squashed(bitmap, side);
    const flags = imageFlags(square, side, [bitmap.width, bitmap.height], model.thresholds);
    bitmap.close();
    const { score, shares, grid } = run(model, square, (progress) => self.postMessage({ number, progress }));
    const map = relative(smooth(shares, grid)), colours = coloured(map, grid, ...shown);
    self.postMessage({ number, score, flags, shares, map, square, colours, seconds: (performance.now() - began) / 1000 });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};
