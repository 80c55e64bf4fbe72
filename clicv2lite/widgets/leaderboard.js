// The leaderboard in the browser: the same six pictures, ranks and correlations as leaderboard() in leaderboard.py.

const SIX = 6, YOU = "you";
const PLACES = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, Home: -SIX, End: SIX }; // a key moves a picture by so many

export function drawSix(count, seed) {
  const noise = uniforms(seed, count);
  return Array.from({ length: count }, (_, i) => i).sort((a, b) => noise[a] - noise[b]).slice(0, SIX);
}

export function ranks(values) { // 1 the highest; equal values share their mean rank
  return values.map((v) => values.filter((other) => other > v).length + (values.filter((other) => other === v).length + 1) / 2);
}

export function spearman(a, b) { // Pearson's correlation of the ranks; NaN if all values of one are equal
  const [x, y] = [a, b].map((values) => ranks(values).map((rank) => rank - (values.length + 1) / 2));
  const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

function* permutations(values) {
  if (!values.length) yield [];
  for (const first of values) for (const rest of permutations(values.filter((v) => v !== first))) yield [first, ...rest];
}

// Values that are equal up to rounding tie; undefined values come last.
const rounded = (rho) => (Number.isNaN(rho) ? -2e9 : Math.round(rho * 1e9));

export function board({ constants: { names, truth, measures }, order }) {
  const at = Object.fromEntries(names.map((name, i) => [name, i]));
  const pictures = [...order].sort((a, b) => truth[at[b]] - truth[at[a]]), scores = pictures.map((name) => truth[at[name]]);
  const columns = [[YOU, pictures.map((name) => -order.indexOf(name))],
    ...measures.map(([name, values]) => [name, pictures.map((picture) => values[at[picture]])])];
  const standings = columns.map(([name, values]) =>
    ({ name, values, ranks: ranks(values), spearman: spearman(scores, values) }));
  const mine = rounded(standings[0].spearman);
  let total = 0, asGood = 0;
  for (const values of permutations(Array.from({ length: SIX }, (_, i) => i))) {
    total++;
    asGood += rounded(spearman(scores, values)) >= mine;
  }
  standings.sort((a, b) => rounded(b.spearman) - rounded(a.spearman));
  for (const row of standings) row.place = 1 + standings.filter((o) => rounded(o.spearman) > rounded(row.spearman)).length;
  return { pictures, scores, standings, chance: asGood / total };
}

const two = (rho) => (Number.isNaN(rho) ? "\u2013" : rho.toFixed(2).replace("-", "\u2212"));
const short = (x) => { // at most five characters, for a phone
  const size = Math.abs(x);
  return (size >= 100 ? x.toFixed(0) : String(Number(x.toPrecision(size < 0.1 ? 2 : 3)))).replace("-", "\u2212");
};
const breakable = (name) => name.split("_").flatMap((part, i) => (i ? ["_", make("wbr"), part] : [part]));
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const share = (p) => (p < 0.01 ? `${(100 * p).toFixed(1)}\u00a0%` : percent(p));

function table({ constants: { truth_label }, order }, { pictures, scores, standings }, picture) {
  const truth = ranks(scores);
  const compared = (mine, values) => mine.map((rank, i) => {
    const apart = Math.abs(rank - truth[i]), near = apart < 0.75 ? "same" : apart < 1.75 ? "near" : "far";
    const value = make("span", {}, values ? short(values[i]) : "");
    return make("td", { class: `leaderboard-${near}` }, make("b", {}, short(rank)), value);
  });
  const line = (place, name, rho, ...rest) => {
    const who = make("th", { scope: "row" }, ...breakable(name === YOU ? "You" : name));
    const cells = [make("td", {}, place), who, make("td", {}, rho), ...rest];
    return make("tr", name === YOU ? { class: "leaderboard-you" } : {}, ...cells);
  };
  const words = ["Place", "Who", make("abbr", { title: "Spearman's rank correlation" }, "\u03c1")];
  const heads = [...words, ...pictures.map((name) => picture(name, name))].map((it) => make("th", { scope: "col" }, it));
  return make("table", {},
    make("caption", {}, "Rank of each picture, 1 the most complex, and the value behind it. \u03c1: Spearman's correlation "
      + `with ${truth_label}. Strong tint: the same rank as there; weak tint: one off.`),
    make("thead", {}, make("tr", {}, ...heads)),
    make("tbody", {}, line("", capital(truth_label), "", ...compared(truth, scores))),
    make("tbody", {}, ...standings.map(({ place, name, spearman: rho, ranks: mine, values }) =>
      line(`${place}`, name, two(rho), ...compared(mine, name === YOU ? null : values)))));
}

function render({ model, el }) {
  const { names, truth_label } = model.get("constants");
  const urls = model.get("thumbs").map((file) => URL.createObjectURL(new Blob([file], { type: "image/jpeg" })));
  const picture = (name, alt) =>
    make("img", { src: urls[names.indexOf(name)], alt, draggable: "false", width: 96, height: 96 });
  const list = make("ol", { class: "leaderboard-list" });
  const result = make("div", { class: "leaderboard-result", role: "region", "aria-label": "Comparison", tabindex: 0 });
  const [reading, summary] = ["reading", "summary"].map((name) =>
    make("p", { class: `explorer-${name}`, "aria-live": "polite" }));
  const compare = make("button", { type: "button", class: "leaderboard-compare" });
  const again = make("button", { type: "button" }, "New six");
  el.append(make("div", { class: "explorer leaderboard", role: "group", "aria-label": "Complexity leaderboard" },
    make("p", { class: "leaderboard-task" }, "Order the six pictures, the most complex first: drag them, use the buttons, "
      + "or choose one and press the arrow keys."),
    make("p", { class: "leaderboard-ends", "aria-hidden": "true" }, ...["most complex", "", "simplest"].map((text) =>
      make("span", {}, text))),
    list, reading, make("div", { class: "leaderboard-buttons" }, compare, again), summary, result));

  let order, items = new Map(), dragged = null;
  const move = (name, to) => {
    const place = Math.min(SIX - 1, Math.max(0, to));
    if (place === order.indexOf(name)) return;
    const next = order.filter((other) => other !== name);
    next.splice(place, 0, name);
    model.set("order", next);
    model.save_changes();
    say(reading, `${capital(name)} is on place ${place + 1} of ${SIX}.`);
  };
  const item = (name) => {
    const face = [picture(name, name), make("span", { "aria-hidden": "true" }, name)]; // the picture's text names the button
    const handle = keepKeys(make("button", { type: "button", class: "leaderboard-handle" }, ...face));
    const step = (by, what) => {
      const button = make("button", { type: "button", class: `leaderboard-${what}`, "aria-label": `${name}: ${what} complex` });
      button.addEventListener("click", () => move(name, order.indexOf(name) + by));
      return button;
    };
    const place = make("span", { class: "leaderboard-place", "aria-hidden": "true" });
    const node = make("li", {}, place, handle, step(-1, "more"), step(1, "less"));
    handle.addEventListener("keydown", (event) => {
      if (takes(event, (key) => key in PLACES)) move(name, order.indexOf(name) + PLACES[event.key]);
    });
    handle.addEventListener("pointerdown", (event) => drag(event, name, node));
    return { node, place, handle };
  };
  const drag = (event, name, node) => {
    if (event.button || dragged) return;
    const start = node.getBoundingClientRect(), grip = [event.clientX - start.left, event.clientY - start.top];
    const over = new AbortController(), on = (type, act) => addEventListener(type, act, { signal: over.signal });
    const follow = (now) => {
      if (now.pointerId !== event.pointerId) return;
      if (!dragged && Math.hypot(now.clientX - event.clientX, now.clientY - event.clientY) < 4) return;
      dragged = name;
      node.classList.add("leaderboard-dragged");
      node.style.transform = ""; // measure it at its new position
      const away = order.map((other) => {
        const box = items.get(other).node.getBoundingClientRect();
        return Math.hypot(now.clientX - box.left - box.width / 2, now.clientY - box.top - box.height / 2);
      });
      move(name, away.indexOf(Math.min(...away)));
      const box = node.getBoundingClientRect();
      node.style.transform = `translate(${now.clientX - grip[0] - box.left}px, ${now.clientY - grip[1] - box.top}px)`;
    };
    const drop = (last) => {
      if (last.pointerId !== event.pointerId) return;
      over.abort();
      dragged = null;
      node.classList.remove("leaderboard-dragged");
      node.style.transform = "";
    };
    on("pointermove", follow);
    on("pointerup", drop);
    on("pointercancel", drop);
  };
  const arrange = () => { // a node that is dragged or has the focus must stay in the document: move the others around it
    const focused = () => [...items.values()].find(({ node }) => node.contains(document.activeElement));
    const fixed = (items.get(dragged) ?? focused())?.node;
    const nodes = order.map((name) => items.get(name).node), at = nodes.indexOf(fixed);
    if (at < 0) return list.replaceChildren(...nodes);
    fixed.before(...nodes.slice(0, at));
    fixed.after(...nodes.slice(at + 1));
  };
  const update = () => {
    const constants = model.get("constants"), given = model.get("order"), revealed = model.get("revealed");
    const six = drawSix(names.length, model.get("seed")).map((i) => names[i]);
    order = six.every((name) => given.includes(name)) ? given : six; // between two messages from Python, the old order may remain
    if (!order.every((name) => items.has(name))) {
      items = new Map(order.map((name) => [name, item(name)]));
      list.replaceChildren();
      say(reading, "");
    }
    arrange();
    order.forEach((name, i) => {
      const { place, handle } = items.get(name);
      place.textContent = `${i + 1}`;
      handle.setAttribute("aria-label", `${name}, place ${i + 1} of ${SIX}; the arrow keys move it`);
    });
    compare.textContent = revealed ? "Hide the comparison" : "Compare";
    compare.setAttribute("aria-expanded", revealed);
    result.hidden = !revealed;
    const mine = `Your order, the most complex first: ${order.join(", ")}.`;
    if (!revealed) {
      result.replaceChildren();
      return say(summary, mine);
    }
    const state = { constants, order }, found = board(state), you = found.standings.find(({ name }) => name === YOU);
    const best = found.standings.find(({ name }) => name !== YOU);
    result.replaceChildren(table(state, found, picture));
    say(summary, `${mine} ${capital(truth_label)}: ${found.pictures.join(", ")}. Spearman of your order ${two(you.spearman)}, `
      + `place ${you.place} of ${found.standings.length}` + (best ? `; best measure: ${best.name}, ${two(best.spearman)}` : "")
      + `. Of all 720 orders, ${share(found.chance)} do at least as well as yours.`);
  };
  compare.addEventListener("click", () => {
    model.set("revealed", !model.get("revealed"));
    model.save_changes();
  });
  again.addEventListener("click", () => {
    const seed = (model.get("seed") + 1) % 2 ** 32;
    model.set("revealed", false); // do this first, so that the answer for the next six is not drawn
    model.set("seed", seed);
    model.set("order", drawSix(names.length, seed).map((i) => names[i]));
    model.save_changes();
  });
  const end = live(model, ["seed", "order", "revealed"], update);
  return () => {
    end();
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
