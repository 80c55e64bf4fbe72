// InfoNCE on a circle in the browser: the same points, losses and gradients as on_circle() in circle.py.

const RUN = 300, PER_FRAME = 2; // steps

export function imagesAndStart(seed, { images: n, width, noise }) {
  const numbers = n * width, drawn = uniforms(seed, 3 * numbers + 2 * (width + 1)).map((u) => 2 * u - 1);
  const view = (which) => Array.from({ length: n }, (_, i) => Array.from({ length: width }, (_, c) =>
    drawn[i * width + c] + noise * drawn[which * numbers + i * width + c]));
  return { first: view(1), second: view(2), start: Array.from(drawn.subarray(3 * numbers), (x) => x / 2) };
}

export function onCircle(weights, seed, temperature, count, repel, constants) {
  const { first, second } = imagesAndStart(seed, constants), { images: n, width } = constants, bias = width + 1;
  const run = (x) => { // a unit vector, and the length before
    const z = [0, 1].map((o) => x.reduce((sum, value, c) => sum + value * weights[o * bias + c], weights[o * bias + width]));
    const length = Math.hypot(...z);
    return [z[0] / length, z[1] / length, length];
  };
  const queries = first.map(run), keys = second.map(run), dot = (a, b) => a[0] * b[0] + a[1] * b[1];
  const gradient = new Array(2 * bias).fill(0);
  let loss = 0, alignment = 0, pairs = 0;
  queries.forEach((q, i) => {
    const others = Array.from({ length: repel ? count : 0 }, (_, j) => keys[(i + j + 1) % n]), compared = [keys[i], ...others];
    const slope = [0, 0]; // of this query's loss
    if (repel) {
      const logits = compared.map((k) => dot(q, k) / temperature), top = Math.max(...logits);
      const exps = logits.map((z) => Math.exp(z - top)), sum = exps.reduce((a, b) => a + b);
      loss += (top + Math.log(sum) - logits[0]) / n;
      compared.forEach((k, j) => { // softmax-weighted keys minus the own key, over tau
        for (const c of [0, 1]) slope[c] += (exps[j] / sum - (j === 0)) * k[c] / temperature;
      });
    } else {
      loss += (1 - dot(q, keys[i])) / n;
      for (const c of [0, 1]) slope[c] = -keys[i][c];
    }
    const along = dot(slope, q); // only what turns q passes through the division by its length
    for (const o of [0, 1]) {
      const turned = (slope[o] - along * q[o]) / q[2] / n;
      first[i].forEach((value, c) => { gradient[o * bias + c] += turned * value; });
      gradient[o * bias + width] += turned;
    }
    alignment += ((q[0] - keys[i][0]) ** 2 + (q[1] - keys[i][1]) ** 2) / n;
    for (let j = 0; j < i; j++) pairs += Math.exp(-2 * ((q[0] - queries[j][0]) ** 2 + (q[1] - queries[j][1]) ** 2));
  });
  return { queries, keys, loss, gradient, alignment, uniformity: Math.log(pairs / (n * (n - 1) / 2)) };
}

const decimals = (x) => (Math.abs(x) < 0.005 ? 0 : x).toFixed(2).replace("-", "\u2212");

function render({ model, el }) {
  const constants = model.get("constants"), { images: n, rate } = constants;
  const svg = makeSvg("svg", { viewBox: "-1.25 -1.25 2.5 2.5", role: "img" });
  svg.append(makeSvg("circle", { class: "circle-line", r: 1 }));
  const point = (name, r) => Array.from({ length: n }, (_, i) => makeSvg("circle", { class: `circle-${name}`, r, style: `--hue: ${360 * i / n}` }));
  const pairs = Array.from({ length: n }, () => makeSvg("path", { class: "circle-pair" }));
  const [keys, queries] = [point("key", 0.055), point("query", 0.04)];
  svg.append(...pairs, ...keys, ...queries);
  const button = (text, act) => {
    const node = keepKeys(make("button", { type: "button" }, text));
    node.addEventListener("click", act);
    return node;
  };
  const sliders = [
    { trait: "temperature", text: "Temperature", values: () => [0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1], show: String },
    { trait: "count", text: "Negatives", values: () => Array.from({ length: n - 1 }, (_, i) => i + 1), show: String },
  ].map((each) => slider(model, each));
  const negatives = check(model, { trait: "repel", text: "With negatives" });
  const summary = make("p", { class: "explorer-summary", "aria-live": "polite" });
  const numbers = make("p", { class: "circle-numbers", "aria-hidden": "true" }); // the summary says them at rest

  let running = 0, left = 0;
  const measured = () => onCircle(model.get("weights"), model.get("seed"), model.get("temperature"), model.get("count"),
    model.get("repel"), constants);
  const advance = (times) => { // one message for all of them
    let weights = model.get("weights");
    for (let i = 0; i < times; i++) {
      const { gradient } = onCircle(weights, model.get("seed"), model.get("temperature"), model.get("count"), model.get("repel"), constants);
      weights = weights.map((w, c) => w - rate * gradient[c]);
    }
    model.set({ weights, steps: model.get("steps") + times });
    model.save_changes();
  };
  const stop = () => {
    cancelAnimationFrame(running);
    running = left = 0;
    run.textContent = "Run";
    update();
  };
  const frame = () => {
    advance(Math.min(PER_FRAME, left));
    left -= PER_FRAME;
    if (left > 0) running = requestAnimationFrame(frame);
    else stop();
  };
  const run = button("Run", () => {
    if (running) return stop();
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return advance(RUN); // at once
    left = RUN;
    run.textContent = "Stop";
    running = requestAnimationFrame(frame);
  });
  const reset = button("Reset", () => {
    stop();
    model.set({ weights: imagesAndStart(model.get("seed"), constants).start, steps: 0 });
    model.save_changes();
  });
  const controls = make("div", { class: "explorer-checks" }, button("Step", () => advance(1)), run, reset, negatives.node);
  el.append(make("div", { class: "explorer circle", role: "group", "aria-label": "InfoNCE on a circle" },
    make("div", { class: "circle-columns" }, make("div", { class: "circle-picture" }, svg),
      make("div", {}, controls, make("div", { class: "explorer-sliders" }, ...sliders.map(({ node }) => node)), numbers, summary))));

  const update = () => {
    const now = measured();
    for (const each of [...sliders, negatives]) each.update();
    const place = (node, [x, y]) => ["cx", "cy"].forEach((name, c) => node.setAttribute(name, [x, -y][c].toFixed(4)));
    now.queries.forEach((q, i) => {
      const k = now.keys[i];
      place(queries[i], q);
      place(keys[i], k);
      pairs[i].setAttribute("d", `M${[q[0], -q[1], k[0], -k[1]].map((x) => x.toFixed(4)).join(" ")}`);
    });
    const name = model.get("repel") ? "InfoNCE" : "1 \u2212 q\u00b7k";
    const unit = model.get("repel") ? `\u00a0nats (chance ${decimals(Math.log(model.get("count") + 1))})` : "";
    const text = `After ${model.get("steps")} steps: ${name} ${decimals(now.loss)}${unit}, alignment ${decimals(now.alignment)}, `
      + `uniformity ${decimals(now.uniformity)}.`;
    say(numbers, running ? text : "");
    if (running) return; // a screen reader hears the end of a run, not each step
    say(summary, text);
    svg.setAttribute("aria-label", `${n} images as pairs of points on a circle. ${text}`);
  };
  const end = live(model, ["temperature", "count", "repel", "seed", "weights", "steps"], update);
  return () => {
    cancelAnimationFrame(running);
    end();
  };
}

export default { render };
