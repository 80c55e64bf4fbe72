// The history of runs in the browser: the same rows and shares as row_at() and share_of_fall() in history.py.

export function rowAt({ passes }, now) { // the last row up to there, or -1
  let at = -1;
  while (at + 1 < passes.length && passes[at + 1] <= now) at++;
  return at;
}

export function shareOfFall(table, column, now, start) {
  const values = table[column], first = start ?? values[0], at = rowAt(table, now);
  return (first - (at < 0 ? first : values[at])) / (first - values.at(-1));
}

const WIDE = 100, HIGH = 60, EDGE = 2, LEFT = 22; // of a panel, in units of its drawing
const DASHES = ["none", "6 3", "2 3", "9 3 2 3"];
const figures = (x) => {
  const size = Math.abs(x), small = size < 0.1 && size > 0;
  const text = small ? x.toPrecision(2) : x.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return text.replaceAll("-", "\u2212");
};
const grouped = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
const fewer = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`;

// A small plot over log(passes): curves of the runs, a dotted reference, a cursor.
function historyPanel({ title, unit, columns, axis }, runs, references, x) {
  const known = runs.flatMap(([, table]) => columns.flatMap(([column]) => (table[column] ?? []).filter((v) => v !== null)));
  const lines = references.filter(([column]) => columns.some(([name]) => name === column));
  const all = [...known, ...lines.map(([, , value]) => value)], top = Math.max(...all);
  const least = Math.min(...all), low = axis === "zero" ? (least < -top / 20 ? least : 0) : least; // noise around 0 is 0
  const scale = axis === "log" ? Math.log : (v) => v;
  const y = (v) => HIGH - EDGE - (HIGH - 2 * EDGE) * (scale(v) - scale(low)) / (scale(top) - scale(low) || 1);
  const point = (passes, value) => `${x(passes).toFixed(2)} ${y(value).toFixed(2)}`;
  const svg = makeSvg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(makeSvg("path", { class: "history-axes", d: `M${LEFT - EDGE} 0V${HIGH}H${WIDE}` }));
  for (const [, , value] of lines)
    svg.append(makeSvg("path", { class: "history-reference", d: `M${LEFT - EDGE} ${y(value)}H${WIDE}` }));
  const curves = runs.map(([, table], k) => columns.map(([column]) => {
    const points = table.passes.flatMap((passes, i) => (table[column][i] === null ? [] : [point(passes, table[column][i])]));
    const once = points.length < 2, d = once ? points.map((p) => `M${p}h0`).join("") : `M${points.join("L")}`; // once: a dot
    const style = `stroke: var(--run-${k}); stroke-dasharray: ${once ? "none" : DASHES[k]}`;
    const path = makeSvg("path", { class: `history-${once ? "dot" : "curve"}`, d, style });
    svg.append(path);
    return path;
  }).flat());
  const cursor = makeSvg("path", { class: "history-cursor" });
  const dots = runs.map((_, k) => makeSvg("path", { class: "history-dot", style: `stroke: var(--run-${k})` }));
  svg.append(cursor, ...dots);
  const values = make("p", { class: "history-values" });
  const ends = [top, low].map((v) => make("span", { "aria-hidden": "true" }, figures(v)));
  const note = lines.map(([, what, value]) => `dotted: ${what}, ${figures(value)}`).join("; ");
  const several = columns.length > 1 ? columns.map(([, name]) => name).join(", ") : "";
  const node = make("figure", { class: "history-panel" },
    make("figcaption", {}, make("b", {}, title), unit && ` ${unit}`, several && ` (${several})`),
    make("div", { class: "history-plot" }, svg, ...ends), values, ...(note ? [make("p", { class: "history-note" }, note)] : []));
  const update = (now, shown) => {
    cursor.setAttribute("d", `M${x(now).toFixed(2)} 0V${HIGH}`);
    values.replaceChildren(...runs.flatMap(([name, table], k) => {
      for (const curve of curves[k]) curve.style.display = shown.includes(name) ? "" : "none";
      const at = rowAt(table, now), read = columns.map(([column]) => (at < 0 ? null : table[column][at]));
      const here = shown.includes(name) ? read.map((v) => (v === null ? "" : `M${point(table.passes[at], v)}h0`)) : [];
      dots[k].setAttribute("d", here.join(""));
      const later = read.every((v) => v === null) ? table.passes.findIndex((_, i) => table[columns[0][0]][i] !== null) : -1;
      const text = later >= 0 ? `${figures(table[columns[0][0]][later])} at ${grouped(table.passes[later])}`
        : read.map((v) => (v === null ? "\u2013" : figures(v))).join(", ");
      return shown.includes(name) ? [make("span", {}, sample(k), text)] : [];
    }));
  };
  return { node, update };
}

function sample(k) { // a piece of the curve
  const svg = makeSvg("svg", { viewBox: "0 0 24 8", class: "history-sample", "aria-hidden": "true" });
  svg.append(makeSvg("path", { d: "M0 4H24", style: `stroke: var(--run-${k}); stroke-dasharray: ${DASHES[k]}` }));
  return svg;
}

function render({ model, el }) {
  const { panels, references, steps, runs } = model.get("constants"), [from, to] = [steps[0], steps.at(-1)];
  const x = (passes) => LEFT + (WIDE - LEFT - EDGE) * Math.log(passes / from) / (Math.log(to / from) || 1);
  const plots = panels.map((each) => historyPanel(each, runs, references, x));
  const boxes = runs.map(([name], k) => {
    const box = input("checkbox", "shown");
    box.addEventListener("input", () => {
      const before = model.get("shown"), names = runs.map(([other]) => other);
      model.set("shown", names.filter((other) => (other === name ? box.checked : before.includes(other))));
      model.save_changes();
    });
    return { box, node: make("label", {}, box, sample(k), name) };
  });
  const control = slider(model, { trait: "passes", text: "Passes", values: () => steps, show: grouped });
  const reading = make("p", { class: "explorer-reading", "aria-live": "polite" });
  const grid = make("div", { class: "history-panels" }, ...plots.map(({ node }) => node));
  el.append(make("div", { class: "explorer history", role: "group", "aria-label": "History of a pretraining" },
    make("div", { class: "explorer-sliders" }, control.node), reading, grid,
    make("p", { class: "history-note" }, `Across: images seen, ${grouped(from)} to ${grouped(to)}, on a log scale. `
      + "Drag in a plot to move the line."),
    make("div", { class: "explorer-checks" }, ...boxes.map(({ node }) => node))));

  const words = (now, shown) => {
    const [name, table] = runs.find(([other]) => shown.includes(other)) ?? [];
    if (!name) return "No run is shown: choose one below.";
    const at = rowAt(table, now), end = table.passes.at(-1);
    if (at < 0) return `${name} has no log before ${grouped(table.passes[0])} passes.`;
    const value = (column, what, unit) => ((table[column]?.[at] ?? null) === null ? [] : [`${what} ${figures(table[column][at])}${unit}`]);
    const start = references.find(([column]) => column === "contrast")?.[2];
    const share = table.contrast ? shareOfFall(table, "contrast", now, start) : NaN;
    const way = Number.isFinite(share) ? `, ${fewer(share)} of the way down` : "";
    const said = [...value("contrast", "InfoNCE", `\u00a0nats${way}`), ...value("entropy", "masked entropy", "\u00a0bits\u00b2"),
      ...value("effective_rank", "effective rank", ""), ...value("lr", "learning rate", "")];
    const done = table.passes[at], part = now > end ? "at its end" : fewer(done / end);
    return `After ${grouped(done)} of ${grouped(end)} passes (${part}), ${name}: ${said.join("; ")}.`;
  };
  const update = () => {
    const now = model.get("passes"), shown = model.get("shown");
    control.update();
    boxes.forEach(({ box }, k) => { box.checked = shown.includes(runs[k][0]); });
    for (const each of plots) each.update(Math.min(to, Math.max(from, now)), shown);
    say(reading, words(now, shown));
  };
  const point = (event) => {
    const box = event.target.closest?.(".history-plot")?.getBoundingClientRect();
    if (!box || !(event.buttons & 1 || event.type === "pointerdown")) return;
    const wanted = (event.clientX - box.left) / box.width * WIDE, off = (passes) => Math.abs(x(passes) - wanted);
    model.set("passes", steps.reduce((best, passes) => (off(passes) < off(best) ? passes : best)));
    model.save_changes();
  };
  for (const name of ["pointerdown", "pointermove"]) grid.addEventListener(name, point);
  return live(model, ["passes", "shown"], update);
}

export default { render };
