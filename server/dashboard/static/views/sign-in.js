// The page asks for a key where the server wants one.

import { address } from "../lib/route.js";
import { h } from "../shared/lib/dom.js";

/**
 * @param {HTMLElement} root
 * @param {{why: string|null, enter: (key: string) => Promise<string|null>}} options `enter` answers why a key is not accepted
 */
export function signIn(root, { why, enter }) {
  document.title = "Sign in · Bunbase Realtime";
  const problem = h("p.problem", { role: "alert", hidden: why === null }, why ?? "");
  const key = /** @type {HTMLInputElement} */ (
    h("input", {
      id: "key",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      maxlength: 8000,
      "aria-describedby": "key-hint",
    })
  );
  const button = h("button.button.primary", { type: "submit" }, "Sign in");
  const form = h(
    "form.sign-in",
    { onsubmit: submit },
    h("h1", { tabindex: "-1" }, "Sign in"),
    h("p.field", {}, h("label", { for: "key" }, "Secret API key or token of an administrator"), key),
    h("p.quiet", { id: "key-hint" }, "It is kept in this tab alone, until you sign out or close it."),
    problem,
    button,
  );
  root.replaceChildren(form);
  key.focus();

  async function submit(/** @type {Event} */ event) {
    event.preventDefault();
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    const refusal = await enter(key.value.trim());
    button.ariaDisabled = "false";
    if (refusal === null) return;
    problem.textContent = refusal;
    problem.hidden = false;
    key.select();
  }
}

/** The view after signing in, if the address names none. */
export const START = address("overview");
