// The head of a live panel: which strategy its query got and why, and the query itself for those who want to see it.

import { h, icon, setText } from "../shared/lib/dom.js";
import { perField } from "../shared/lib/format.js";
import { drawSoon } from "../shared/lib/frames.js";

const EXPLAIN = {
  incremental:
    "Incremental: the server works out from each committed row what changes in this list, without asking Postgres again.",
  "re-read":
    "Re-read: when a table this query depends on changes, the server runs the query again, shared by all subscribers, and sends only the difference.",
};

export class Panel {
  #badge;
  #query;
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
    this.#query = h("pre.query", {
      hidden: true,
      tabindex: "0",
      id: `query-${name}`,
      role: "region",
      "aria-label": `Query of ${title}`,
    });
    this.#problem = h("p.problem", { role: "alert", hidden: true });
    const toggle = h(
      "button.icon-button.small",
      {
        type: "button",
        "aria-expanded": "false",
        "aria-controls": `query-${name}`,
        "aria-label": `Show the query of ${title}`,
        title: "Show the query",
      },
      icon("M5.5 4 2 8l3.5 4M10.5 4 14 8l-3.5 4"),
    );
    toggle.addEventListener("click", () => {
      this.#query.hidden = !this.#query.hidden;
      toggle.setAttribute("aria-expanded", String(!this.#query.hidden));
    });
    head.append(this.#badge, toggle);
    head.after(this.#problem, this.#query);
  }

  /**
   * What is subscribed: one query, or one for each page.
   * @param {object[]} queries
   */
  show(queries) {
    const text = queries.map((query) => ("sql" in query ? String(query.sql) : perField(query))).join("\n\n");
    setText(this.#query, text);
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
