// One view is shown at a time (on wide screens the sales stay beside it); a dot shows that another one has changed meanwhile.

import { byId } from "../shared/lib/dom.js";

/** @param {{feed: import("../data/feed.js").Feed}} page */
export function startViews({ feed }) {
  const main = byId("main");
  const buttons = [...document.querySelectorAll(".views [data-view]")].map(
    (button) => /** @type {HTMLButtonElement} */ (button),
  );
  const dot = (/** @type {HTMLElement} */ button) => /** @type {HTMLElement} */ (button.querySelector(".dot"));

  function show(/** @type {HTMLButtonElement} */ button) {
    main.dataset.view = button.dataset.view;
    for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
    dot(button).hidden = true;
    const log = byId("chat-log");
    log.scrollTop = log.scrollHeight; // a hidden box has no place to remember
  }
  for (const button of buttons) button.addEventListener("click", () => show(button));
  const asked = new URLSearchParams(location.search).get("view");
  const start = buttons.find(({ dataset }) => dataset.view === asked);
  if (start) show(start);
  feed.addEventListener("arrived", (event) => {
    const { view, past } = /** @type {CustomEvent} */ (event).detail;
    const button = buttons.find(({ dataset }) => dataset.view === view);
    if (button && !past && main.dataset.view !== view) dot(button).hidden = false;
  });
}
