// A titled part of a view, with a place for what went wrong, and a note until its first answer is there.

import { h, setText } from "../shared/lib/dom.js";
import { Problem } from "../data/api.js";

let numbers = 0;

export class Block {
  #problem = h("p.problem", { role: "alert", hidden: true });
  #note = h("p.note.loading", {}, "Loading…");

  /**
   * @param {string} title
   * @param {{level?: 1|2|3, tip?: string, actions?: (Node|null)[], quiet?: boolean}} [options] `quiet`: its title is for screen readers alone
   */
  constructor(title, { level = 2, tip, actions = [], quiet = false } = {}) {
    const id = `block-${++numbers}`;
    this.title = h(`h${level}${quiet ? ".hidden" : ""}`, { id }, title);
    const help = tip && h("button.tip", { type: "button", "data-tip": tip, "aria-label": `About ${title}` }, "?");
    this.body = h("div.block-body", { hidden: true });
    this.actions = h("div.block-actions", {}, ...actions);
    this.element = h(
      "section.block",
      { "aria-labelledby": id },
      h("div.panel-head", {}, this.title, help, this.actions),
      this.#problem,
      this.#note,
      this.body,
    );
  }

  /** Its content is there. */
  ready() {
    this.#note.hidden = true;
    this.#problem.hidden = true;
    this.body.hidden = false;
  }

  /** @param {unknown} error what the server refused; anything else is a fault and goes on */
  failed(error) {
    if (!(error instanceof Problem)) throw error;
    this.#note.hidden = true;
    setText(this.#problem, error.message);
    this.#problem.hidden = false;
  }

  /** What there is to know instead of content. @param {string} text */
  note(text) {
    this.ready();
    this.body.hidden = true;
    setText(this.#note, text);
    this.#note.classList.remove("loading");
    this.#note.hidden = false;
  }
}
