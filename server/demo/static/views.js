// On phones one view is shown at a time; a dot tells that the other one has changed meanwhile.

import { byId } from "./dom.js";

/** Which view shows a channel's lists. @type {Record<string, string>} */
const VIEW_OF = { "db:collection:messages": "messages", "db:collection:orders": "sales" };

/** @param {{live: import("./live.js").Live}} page */
export function startViews({ live }) {
  const main = byId("main");
  const buttons = [...document.querySelectorAll(".views [data-view]")].map((button) => /** @type {HTMLButtonElement} */ (button));
  const dot = (/** @type {HTMLElement} */ button) => /** @type {HTMLElement} */ (button.querySelector(".dot"));

  for (const button of buttons) {
    button.addEventListener("click", () => {
      main.dataset.view = button.dataset.view;
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
      dot(button).hidden = true;
    });
  }
  live.addEventListener("event", (event) => {
    const { channel, reset } = /** @type {CustomEvent} */ (event).detail;
    const button = buttons.find(({ dataset }) => dataset.view === VIEW_OF[channel]);
    if (button && !reset && main.dataset.view !== button.dataset.view) dot(button).hidden = false;
  });
}
