// What the model misreads, told from a picture as clicv2lite tells it: clicv2lite/data/flags.py, whose thresholds come with the
// model. This file and encoder.js are the two parts of the worker.
"use strict";

function imageFlags(square, side, [width, height], t) { // (side, side, 3) in 0..255 -> names, in the order of FLAGS
  const rows = Math.ceil(side / 4), columns = Math.ceil(side / 2), n = rows * columns; // every fourth row, every second column
  const pixels = [], luma = new Int16Array(n);
  for (let y = 0; y < side; y += 4) {
    for (let x = 0; x < side; x += 2) {
      const [red, green, blue] = square.subarray(3 * (y * side + x), 3 * (y * side + x) + 3);
      luma[pixels.length] = (77 * red + 150 * green + 29 * blue) >> 8;
      pixels.push([red, green, blue]);
    }
  }
  const mean = luma.reduce((sum, level) => sum + level, 0) / n;
  const uniform = Math.sqrt(luma.reduce((sum, level) => sum + (level - mean) ** 2, 0) / n) < t.UNIFORM;
  const found = {
    uniform,
    small: Math.min(width, height) < t.SMALL,
    narrow: Math.max(width, height) > t.NARROW * Math.min(width, height),
    border: !uniform && border(luma, rows, columns, t) >= t.BORDER,
    drawn: !uniform && drawn(pixels, luma, rows, columns, t),
    text: !uniform && written(pixels, luma, rows, columns, t),
  };
  return t.FLAGS.filter((name) => found[name]);
}

function border(luma, rows, columns, { LEVEL }) { // share of the picture in bands of one level along its edges
  const busy = (lines, length, at) => { // share of the lines between the first and the last that are not of one level
    const found = [];
    for (let line = 0; line < lines; line++) {
      let low = 255, high = 0;
      for (let i = 0; i < length; i++) {
        low = Math.min(low, luma[at(line, i)]);
        high = Math.max(high, luma[at(line, i)]);
      }
      if (high - low > LEVEL) found.push(line);
    }
    return found.length ? (found.at(-1) - found[0] + 1) / lines : 0;
  };
  return 1 - busy(rows, columns, (row, i) => row * columns + i) * busy(columns, rows, (column, i) => i * columns + column);
}

function drawn(pixels, luma, rows, columns, { DRAWN_COLOURS, DRAWN_EQUAL }) {
  const counts = new Float64Array(4096), n = luma.length;
  for (const [red, green, blue] of pixels) counts[((red >> 4) << 8) | ((green >> 4) << 4) | (blue >> 4)] += 1;
  const frequent = counts.sort().subarray(-4).reduce((sum, count) => sum + count, 0);
  let across = 0, down = 0;
  for (let i = 0; i < n; i++) {
    if ((i + 1) % columns && luma[i] === luma[i + 1]) across += 1;
    if (i + columns < n && luma[i] === luma[i + columns]) down += 1;
  }
  const equal = across / (rows * (columns - 1)) + down / ((rows - 1) * columns);
  return frequent >= DRAWN_COLOURS * n && equal / 2 >= DRAWN_EQUAL;
}

function written(pixels, luma, rows, columns, { TEXT_GROUND, TEXT_CHANGES, TEXT_COLOUR, INK }) {
  const counts = new Float64Array(256), near = new Float64Array(256);
  for (const level of luma) counts[level] += 1;
  near.forEach((_, level) => { // pixels within 8 levels of it
    near[level] = counts.subarray(Math.max(0, level - 8), level + 9).reduce((sum, count) => sum + count, 0);
  });
  const ground = near.indexOf(Math.max(...near));
  if (near[ground] < TEXT_GROUND * luma.length) return false;
  const ink = Array.from(luma, (level) => Math.abs(level - ground) > INK);
  let lines = 0, changes = 0, dots = 0, coloured = 0;
  for (let row = 0; row < luma.length; row += columns) {
    const line = ink.slice(row, row + columns);
    if (!line.includes(true)) continue;
    lines += 1;
    for (let i = 1; i < columns; i++) if (line[i] !== line[i - 1]) changes += 1;
  }
  ink.forEach((is, i) => {
    if (!is) return;
    dots += 1;
    if (Math.max(...pixels[i]) - Math.min(...pixels[i]) > INK) coloured += 1;
  });
  return lines > 0 && changes / lines >= TEXT_CHANGES && coloured / dots <= TEXT_COLOUR;
}
