// "Score your own photograph": a reader's picture goes through the model in this page, and nothing leaves the computer.
// The page has the form only; encoder.js and the weights, both in model.js, are loaded when a picture is there. From a
// file:// page no script may fetch: so model.js is a script element, and the worker is made of the text of encoder.js.
"use strict";
(() => {
  const beside = (name) => new URL(name, here).href, here = document.currentScript.src;
  const MOST_BYTES = 2 ** 30, MOST_PIXELS = 89_478_485; // as clicv2lite score
  const SHOWN = 640; // longest side of the picture in the page
  const LOADS = "5 MB"; // the size of model.js
  const ADVICE = "choose a JPEG, PNG, WebP, GIF or BMP file";

  const element = (tag, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };

  let loading;
  const loadModel = () => (loading ??= new Promise((done, failed) => {
    const wrong = () => { loading = undefined; failed(new Error("the model could not be loaded; load the page again")); };
    document.head.append(element("script", { src: beside("model.js"), onload: () => done(globalThis.clicv2liteModel), onerror: wrong }));
  }));

  // What is wrong with a file that the browser shows no picture for, by its first bytes
  async function misread(file) {
    const head = new Uint8Array(await file.slice(0, 32).arrayBuffer()), text = String.fromCharCode(...head);
    if (!head.length) return `the file is empty; ${ADVICE}`;
    if (/^....ftyp(hei|hev|mif|msf)/s.test(text)) return "this browser cannot read HEIC; save the photograph as JPEG first";
    const kind = [[/^....ftypavi/s, "AVIF"], [/^(II\*\0|MM\0\*)/, "TIFF"], [/^....JXL /s, "JPEG XL"]].find(([start]) => start.test(text));
    if (kind) return `this browser cannot read ${kind[1]}; save it as JPEG or PNG first`;
    const known = /^(\xff\xd8\xff|\x89PNG|GIF8|BM|RIFF....WEBP)/s.test(text);
    return known ? "the file is damaged, not complete or too large to show; fetch it again" : `this is not an image; ${ADVICE}`;
  }

  async function decoded(file) { // -> ImageBitmap with the stored pixels, upright
    if (file.size > MOST_BYTES) throw new Error(`${(file.size / 2 ** 30).toFixed(1)} GB, and 1 GB is the most; make the image smaller first`);
    const image = new Image(), address = URL.createObjectURL(file);
    try {
      image.src = address;
      await new Promise((done, failed) => { image.onload = done; image.onerror = failed; });
      if (image.naturalWidth * image.naturalHeight > MOST_PIXELS) {
        throw new Error(`more than ${MOST_PIXELS.toLocaleString("en")} pixels; make the image smaller first`);
      }
      return await createImageBitmap(file, { colorSpaceConversion: "none" }); // clicv2lite ignores colour profiles, too
    } catch (error) {
      if (error.message?.includes("pixels;")) throw error;
      throw new Error(await misread(file).catch(() => "the file cannot be read; choose it again"));
    } finally {
      URL.revokeObjectURL(address);
    }
  }

  // What the model may misread, by the names that clicv2lite score writes
  const MISREAD = {
    uniform: "there is next to nothing to see in it",
    small: "it is small: the model sees an enlargement",
    narrow: "it is long and narrow: the model sees it squashed to a square",
    border: "it has bands of one colour along its edges",
    drawn: "it looks drawn: scores of drawings and of photographs compare badly",
    text: "it looks like written text",
  };

  // Lines below the score
  const facts = ({ score, flags, seconds, shares }, { norms }) => [
    ...flags.map((flag) => `Take care (${flag}): ${MISREAD[flag]}.`),
    `More complex than ${percentile(score, norms.quantiles).toFixed(0)} of 100 pictures in a set of ${norms.n.toLocaleString("en")} (${norms.reference}).`,
    `For nine of ten rated pictures, the rating lies within ${halfWidth(score, norms).toFixed(2)} of the score, on a scale of its kind of picture.`,
    `The model says that the ${where(shares, 1)} adds most, and the ${where(shares, -1)} least.`,
    `It took ${seconds.toFixed(1)} seconds on this computer, and nothing was uploaded.`,
  ];

  function percentile(score, quantiles) { // as NumPy's interp of the ascending quantiles, 0 to 100
    const last = quantiles.length - 1, above = quantiles.findIndex((quantile) => quantile > score);
    if (above <= 0) return above === 0 ? 0 : 100;
    const [low, high] = [quantiles[above - 1], quantiles[above]];
    return (100 * (above - 1 + (score - low) / (high - low))) / last;
  }

  const halfWidth = (score, { edges, half }) => half[edges.filter((edge) => edge <= score).length];

  function where(shares, sign) { // the ninth of the picture with the largest (1) or smallest (-1) sum, in words
    const grid = Math.sqrt(shares.length), sums = new Float64Array(9);
    shares.forEach((share, place) => {
      sums[3 * Math.trunc((3 * Math.trunc(place / grid)) / grid) + Math.trunc((3 * (place % grid)) / grid)] += sign * share;
    });
    const ninth = sums.indexOf(Math.max(...sums)), [row, column] = [Math.trunc(ninth / 3), ninth % 3];
    return ninth === 4 ? "middle" : [["top", "", "bottom"][row], ["left", "", "right"][column]].filter(Boolean).join(" ");
  }

  function build(root) {
    const input = (label, attributes) => {
      const field = element("input", { type: "file", accept: "image/*", ...attributes });
      field.addEventListener("change", () => { if (field.files.length) score(field.files[0]); field.value = ""; });
      return element("label", { className: "scorer-button" }, field, label);
    };
    const take = input("Take a photograph", {});
    take.firstChild.setAttribute("capture", "environment");
    take.classList.add("scorer-take");
    const example = element("button", { type: "button", className: "scorer-button", textContent: "Try an example" });
    const progress = element("progress", { max: 1, ariaLabel: "Progress" }), doing = element("span");
    const wait = element("p", { className: "scorer-wait", hidden: true }, progress, doing);
    const problem = element("p", { className: "scorer-problem", role: "alert" });
    const picture = element("canvas", { role: "img" }), map = element("canvas", { className: "scorer-map", ariaHidden: "true" });
    const shows = element("input", { type: "checkbox", checked: true });
    const caption = "Bright places add most to the score, dark ones least. The colours are relative to this picture.";
    const figure = element("figure", { hidden: true }, element("div", { className: "scorer-picture" }, picture, map),
      element("label", {}, shows, " Show which places count"), element("figcaption", { textContent: caption }));
    const told = element("div", { className: "scorer-told", ariaLive: "polite" });
    const list = element("ol", { className: "scorer-list" });
    const before = element("div", { hidden: true }, element("p", { textContent: "Your pictures, from simple to complex:" }), list);
    const code = element("a", { href: beside("encoder.js"), textContent: "in JavaScript" });
    const privacy = element("span", {}, `or drop one here. The first picture loads the model (${LOADS}). Your picture stays on this computer: the model runs in the page, `, code, ", and nothing is uploaded.");
    root.replaceChildren(
      element("div", { className: "scorer-ask" }, input("Choose a picture", {}), take, example, privacy),
      wait, problem, element("div", { className: "scorer-result" }, figure, element("div", {}, told, before)));
    shows.addEventListener("change", () => { map.hidden = !shows.checked; });
    example.addEventListener("click", async () => {
      try {
        busy("Loading the model");
        const { example: stored } = await loadModel();
        score(new File([Uint8Array.from(atob(stored), (letter) => letter.charCodeAt(0))], "coffee.jpg", { type: "image/jpeg" }));
      } catch (error) { fail("", error); }
    });
    root.addEventListener("dragover", (event) => { event.preventDefault(); root.classList.add("scorer-over"); });
    root.addEventListener("dragleave", () => root.classList.remove("scorer-over"));
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      root.classList.remove("scorer-over");
      if (event.dataTransfer.files.length) score(event.dataTransfer.files[0]);
      else fail("", new Error(`this is not a file; ${ADVICE}`));
    });

    const busy = (text, value) => {
      wait.hidden = false;
      doing.textContent = text;
      if (value === undefined) progress.removeAttribute("value");
      else progress.value = value;
      problem.textContent = "";
    };
    const fail = (name, error) => {
      wait.hidden = true;
      problem.textContent = `${name ? `${name}: ` : ""}${error.message}`;
    };

    let worker, latest = 0;
    const scores = [];
    async function score(file) {
      const mine = ++latest; // the answer to an earlier picture is dropped
      try {
        busy(`Reading ${file.name}`);
        const bitmap = await decoded(file);
        busy("Loading the model");
        const { engine, ...files } = await loadModel();
        if (mine !== latest) return;
        if (!worker) {
          worker = new Worker(URL.createObjectURL(new Blob([engine], { type: "text/javascript" })));
          worker.postMessage({ files });
        }
        const shrink = Math.min(1, SHOWN / Math.max(bitmap.width, bitmap.height));
        const shown = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * shrink)));
        const small = element("canvas", { width: shown[0], height: shown[1] });
        const context = small.getContext("2d");
        context.imageSmoothingQuality = "high";
        context.drawImage(bitmap, 0, 0, ...shown);
        worker.onmessage = ({ data }) => {
          if (data.number !== latest) return; // it may still be about the picture before
          if (data.progress) busy(`Scoring ${file.name}`, data.progress);
          else if (data.error) fail(file.name, new Error(`it could not be scored (${data.error}); try a smaller copy`));
          else show(file.name, small, data, files);
        };
        busy(`Scoring ${file.name}`, 0);
        worker.postMessage({ bitmap, shown, number: mine }, [bitmap]);
      } catch (error) {
        if (mine === latest) fail(file.name, error);
      }
    }

    function show(name, small, result, model) {
      wait.hidden = true;
      for (const canvas of [picture, map]) [canvas.width, canvas.height] = [small.width, small.height];
      picture.getContext("2d").drawImage(small, 0, 0);
      picture.ariaLabel = `${name}, with a map of which places count`;
      map.getContext("2d").putImageData(result.colours, 0, 0);
      const number = result.score.toFixed(2), scale = element("div", { className: "scorer-scale", ariaHidden: "true" }, element("span"));
      scale.firstChild.style.left = `${100 * result.score}%`;
      told.replaceChildren(element("p", { className: "scorer-score" }, element("strong", { textContent: number }), " of 1: the complexity of ", name), scale,
        ...facts(result, model).map((textContent) => element("p", { textContent })));
      scores.push([result.score, name]);
      scores.sort(([a], [b]) => a - b);
      list.replaceChildren(...scores.map(([value, of]) => element("li", { textContent: `${value.toFixed(2)} ${of}` })));
      before.hidden = scores.length < 2;
      figure.hidden = false;
      root.dispatchEvent(new CustomEvent("scored", { detail: { name, ...result } }));
    }
  }

  const start = () => document.querySelectorAll(".scorer").forEach(build);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
