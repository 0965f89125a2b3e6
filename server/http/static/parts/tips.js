// Explanations on hover, focus and tap: any element with data-tip. One tooltip, kept inside the window.

import { byId, setText } from "../lib/dom.js";

export function startTips() {
  const tooltip = byId("tooltip");
  /** @type {Element|null} */
  let shownFor = null;

  function show(/** @type {HTMLElement} */ element) {
    shownFor = element;
    setText(tooltip, element.dataset.tip ?? "");
    tooltip.hidden = false;
    element.setAttribute("aria-describedby", "tooltip");
    const target = (element.closest(".stats > div") ?? element).getBoundingClientRect(); // below the figure it explains
    const box = tooltip.getBoundingClientRect();
    const left = Math.min(Math.max(8, target.left + target.width / 2 - box.width / 2), innerWidth - box.width - 8);
    const below = target.bottom + 8;
    const top = below + box.height < innerHeight ? below : Math.max(8, target.top - box.height - 8);
    tooltip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  function hide() {
    shownFor?.removeAttribute("aria-describedby");
    shownFor = null;
    tooltip.hidden = true;
  }

  const owner = (/** @type {Event} */ event) =>
    /** @type {HTMLElement|null} */ (event.target instanceof Element ? event.target.closest("[data-tip]") : null);
  for (const name of ["pointerover", "focusin", "click"]) {
    document.addEventListener(name, (event) => {
      const element = owner(event);
      if (element) show(element);
      else if (name !== "focusin" && shownFor && !shownFor.matches(":focus-visible")) hide();
    });
  }
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}
