// Draws anywidget views from the widget state that myst-nb stores in the page, or from the file that late_widgets.py makes of it,
// which is loaded when the reader comes near a view, or prints: no kernel, no network, no other library.
// Links made with jslink and jsdlink work; what only Python can answer (messages, stock ipywidgets) is said in the page.
(() => {
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';
  const REFERENCE = /^IPY_MODEL_/;
  const models = new Map();

  const decode = (base64) => new DataView(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);

  class Model { // the part of Backbone's model that anywidget promises to a front end
    constructor(id, { model_name, state, buffers = [] }) {
      Object.assign(this, { model_id: id, name: model_name, attributes: { ...state }, handlers: new Map() });
      this.widget_manager = { get_model: async (reference) => models.get(reference.replace(REFERENCE, "")) };
      for (const { path, data } of buffers) {
        let parent = this.attributes;
        for (const step of path.slice(0, -1)) parent = parent[step];
        parent[path.at(-1)] = decode(data);
      }
    }
    get(name) { return this.attributes[name]; }
    set(name, value) {
      const changes = typeof name === "string" ? { [name]: value } : name;
      const changed = Object.keys(changes).filter((key) => !Object.is(this.attributes[key], changes[key]));
      Object.assign(this.attributes, changes); // all of them before the first handler looks
      for (const key of changed) this.emit("change:" + key, this, changes[key]);
      if (changed.length) this.emit("change", this);
    }
    save_changes() {} // there is no kernel to tell; linked models heard it from set()
    send() {}
    on(names, handler) {
      for (const name of names.split(/\s+/)) this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
    }
    off(names, handler) {
      for (const name of names?.split(/\s+/) ?? [...this.handlers.keys()])
        this.handlers.set(name, (this.handlers.get(name) ?? []).filter((h) => handler && h !== handler));
    }
    emit(name, ...values) { for (const handler of this.handlers.get(name) ?? []) handler(...values); }
  }

  function link({ name, attributes: { source, target } }) { // jslink is LinkModel, jsdlink DirectionalLinkModel
    const end = ([reference, trait]) => [models.get(reference.replace(REFERENCE, "")), trait];
    const [[from, x], [to, y]] = [end(source), end(target)];
    if (!from || !to) return;
    const copy = () => to.set(y, from.get(x));
    from.on("change:" + x, copy);
    copy();
    if (name === "LinkModel") to.on("change:" + y, () => from.set(x, to.get(y)));
  }

  const modules = new Map(); // one module per source text, however many widgets use it
  function load(source) {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).then(async ({ default: it }) => (typeof it === "function" ? await it() : it)));
    }
    return modules.get(source);
  }

  function addStyle(css) {
    if (!css || [...document.querySelectorAll("style[data-anywidget]")].some((s) => s.textContent === css)) return;
    const style = Object.assign(document.createElement("style"), { textContent: css });
    style.dataset.anywidget = "";
    document.head.append(style);
  }

  function say(view, text) {
    const line = Object.assign(document.createElement("p"), { className: "widget-note", textContent: text });
    view.before(line);
  }

  async function show(el, model) {
    const experimental = { invoke: () => Promise.reject(new Error("this page has no kernel")) };
    const { signal } = new AbortController(); // a static page never takes a view down
    const widget = await load(model.get("_esm"));
    model.ready ??= Promise.resolve(widget.initialize?.({ model, signal, experimental }));
    await model.ready;
    addStyle(model.get("_css"));
    await widget.render?.({ model, el, signal, experimental });
  }

  async function draw(view, el) {
    try {
      await (loaded ??= loadStates());
      const model = models.get(JSON.parse(view.textContent).model_id);
      if (model?.get("_model_module") === "anywidget") return await show(el, model);
      say(view, "This control needs Python: open the chapter in JupyterLab to use it.");
    } catch (error) {
      console.error("[anywidget-host]", error);
      say(view, "This widget could not be drawn: " + error.message);
    }
    el.remove();
  }

  let loaded;
  async function loadStates() {
    for (const script of document.querySelectorAll(STATE)) {
      const { state } = script.dataset.src ? await stateOf(script.dataset.src) : JSON.parse(script.textContent);
      for (const [id, entry] of Object.entries(state)) models.set(id, new Model(id, entry));
    }
    for (const model of models.values()) if (/^(Directional)?LinkModel$/.test(model.name)) link(model);
  }

  const stateOf = (src) => new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src });
    script.onload = () => { resolve(globalThis.anywidgetState); delete globalThis.anywidgetState; };
    script.onerror = () => reject(new Error("its file " + src + " is missing"));
    document.head.append(script);
  });

  function start() {
    const waiting = new Map(); // the place of a view -> how to draw it
    const now = (el) => { const drawn = waiting.get(el); waiting.delete(el); near.unobserve(el); drawn?.(); };
    const near = new IntersectionObserver(
      (entries) => { for (const { isIntersecting, target } of entries) if (isIntersecting) now(target); }, { rootMargin: "50%" });
    for (const view of document.querySelectorAll(VIEW)) {
      const el = Object.assign(document.createElement("div"), { className: "widget-static" });
      view.before(el);
      waiting.set(el, () => draw(view, el));
    }
    const all = () => { for (const el of [...waiting.keys()]) now(el); };
    if (!document.querySelector(STATE + "[data-src]")) return all();
    for (const el of waiting.keys()) near.observe(el);
    addEventListener("beforeprint", all);
  }
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
