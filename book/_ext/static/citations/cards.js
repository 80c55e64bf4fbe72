// A citation shows its reference in a card, under the pointer and under the focus of the keyboard. The text is the link's title,
// which a browser would show late, to the pointer alone. Escape closes the card; the pointer may go into it.
"use strict";
(() => {
  const card = Object.assign(document.createElement("div"), { id: "citation-card", hidden: true });
  card.setAttribute("role", "tooltip");
  let link, closing;

  function place() {
    if (!link) return;
    const { left, top, bottom } = link.getClientRects()[0], gap = 6, { width, height } = card.getBoundingClientRect();
    const below = bottom + gap + height <= innerHeight || top < height + gap;
    card.style.left = `${Math.max(gap, Math.min(left, document.documentElement.clientWidth - width - gap))}px`;
    card.style.top = `${below ? bottom + gap : top - gap - height}px`;
  }

  function hide() {
    clearTimeout(closing);
    link?.removeAttribute("aria-describedby");
    link = undefined;
    card.hidden = true;
  }

  function show(cited) {
    hide();
    link = cited;
    link.setAttribute("aria-describedby", card.id);
    card.textContent = link.dataset.reference;
    card.hidden = false;
    place();
  }

  const later = () => { closing = setTimeout(hide, 200); };

  function start() {
    for (const cited of document.querySelectorAll('article a.reference[href*="references.html#"][title]')) {
      cited.dataset.reference = cited.title;
      cited.removeAttribute("title");
      for (const event of ["pointerenter", "focus"]) cited.addEventListener(event, () => show(cited));
      for (const event of ["pointerleave", "blur"]) cited.addEventListener(event, later);
    }
    card.addEventListener("pointerenter", () => clearTimeout(closing));
    card.addEventListener("pointerleave", later);
    document.querySelector("article").append(card);
    addEventListener("keydown", ({ key }) => { if (key === "Escape") hide(); });
    addEventListener("scroll", place, { capture: true, passive: true });
    addEventListener("resize", place);
  }
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
