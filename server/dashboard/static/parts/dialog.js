// Questions that must be answered before the page goes on.

import { h } from "../shared/lib/dom.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {(Node|string)[]} text
 * @property {string} action the word on the button
 * @property {boolean} [dangerous]
 * @property {() => Promise<void>} run does it; what it throws is shown, and the question stays
 */

let numbers = 0;

/** For what has the focus in a table: gives it back, if its row was drawn anew meanwhile. @returns {() => void} */
function focusKept() {
  const had = document.activeElement;
  const table = /** @type {HTMLElement|null|undefined} */ (had?.closest('[role="region"]'));
  const key = had?.closest("tr")?.dataset.key;
  return () => {
    if (!table?.isConnected || document.activeElement !== document.body) return;
    const controls = /** @type {HTMLElement[]} */ ([...table.querySelectorAll("a, button")]);
    const same = controls.find(
      (each) => each.textContent === had?.textContent && each.closest("tr")?.dataset.key === key,
    );
    (same ?? table).focus({ preventScroll: true });
  };
}

/** Resolves to whether it was done. @param {Question} question @returns {Promise<boolean>} */
export function ask({ title, text, action, dangerous = false, run }) {
  return new Promise((resolve) => {
    const id = `dialog-${++numbers}`;
    let done = false;
    const problem = h("p.problem", { role: "alert", hidden: true });
    const cancel = h("button.button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const go = h(`button.button.${dangerous ? "danger" : "primary"}`, { type: "submit" }, action);
    const form = h(
      "form",
      { onsubmit: submit },
      h("h2", { id }, title),
      ...text.map((each) => (each instanceof Node ? each : h("p", {}, each))),
      problem,
      h("p.dialog-actions", {}, cancel, go),
    );
    const dialog = /** @type {HTMLDialogElement} */ (h("dialog", { "aria-labelledby": id }, form));

    async function submit(/** @type {Event} */ event) {
      event.preventDefault();
      if (go.ariaDisabled === "true") return;
      go.ariaDisabled = "true";
      problem.hidden = true;
      try {
        await run();
        done = true;
        dialog.close();
      } catch (error) {
        problem.textContent = error instanceof Error ? error.message : String(error);
        problem.hidden = false;
      }
      go.ariaDisabled = "false";
    }

    dialog.addEventListener("close", () => {
      dialog.remove();
      restoreFocus();
      resolve(done);
    });
    const restoreFocus = focusKept();
    document.body.append(dialog);
    dialog.showModal();
    if (dangerous) cancel.focus();
  });
}
