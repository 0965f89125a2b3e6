// The head of a live panel: which strategy its query got and why, and its code for those who want to see it.

import { Code } from "./code.js";
import { liveQuery } from "../lib/snippets.js";
import { h, setText } from "../shared/lib/dom.js";
import { drawSoon } from "../shared/lib/frames.js";

const EXPLAIN = {
  incremental:
    "Incremental: the server works out from each committed row what changes in this list, without asking Postgres again.",
  "re-read":
    "Re-read: when a table this query depends on changes, the server runs the query again, shared by all subscribers, and sends only the difference.",
};

export class Panel {
  #badge;
  #code;
  #problem;

  /** @param {string} name the `data-panel` of its head */
  constructor(name) {
    const head = /** @type {HTMLElement} */ (document.querySelector(`[data-panel="${name}"]`));
    const title = head.firstElementChild?.textContent ?? name;
    this.#badge = h(
      "button.badge",
      { type: "button", "data-strategy": "none", "data-tip": "Waiting for the server’s answer." },
      "loading",
    );
    this.#code = new Code(name, title);
    this.#problem = h("p.problem", { role: "alert", hidden: true });
    head.append(this.#badge);
    this.#code.attach(head);
    head.after(this.#problem);
  }

  /**
   * What is subscribed.
   * @param {string} collection
   * @param {Record<string, any>} query
   */
  show(collection, query) {
    this.#code.show(liveQuery(collection, query));
  }

  /**
   * @param {string} strategy
   * @param {string} [reason]
   */
  strategy(strategy, reason) {
    this.#problem.hidden = true;
    setText(this.#badge, strategy);
    this.#badge.dataset.strategy = strategy;
    this.#badge.dataset.tip =
      (EXPLAIN[/** @type {keyof typeof EXPLAIN} */ (strategy)] ?? strategy) + (reason ? ` Why: ${reason}` : "");
  }

  /** @param {string} message */
  problem(message) {
    setText(this.#problem, `The server refused this query: ${message}`);
    this.#problem.hidden = false;
    setText(this.#badge, "refused");
    this.#badge.dataset.strategy = "refused";
    this.#badge.dataset.tip = message;
  }
}

/**
 * What every panel does with a subscription: badge, problem, measuring, and a draw in the next frame.
 * @param {{panel: Panel, latency: import("../data/latency.js").Latency, label: string, draw: (docs: import("../shared/data/changes.js").Doc[]) => void}} options
 * @returns {import("../shared/data/live.js").Handlers}
 */
export function handlers({ panel, latency, label, draw }) {
  return {
    onSubscribed: (strategy, reason) => panel.strategy(strategy, reason),
    onError: (message) => panel.problem(message),
    onChange: (docs, event) => {
      latency.note(label, event);
      drawSoon(panel, () => draw(docs));
    },
  };
}
