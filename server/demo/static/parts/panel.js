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
   * How the server keeps the list.
   * @param {import("@bunbase/sdk").Snapshot} snapshot
   */
  strategy({ strategy, reason }) {
    this.#problem.hidden = true;
    if (!strategy) return;
    setText(this.#badge, strategy);
    this.#badge.dataset.strategy = strategy;
    this.#badge.dataset.tip = EXPLAIN[strategy] + (reason ? ` Why: ${reason}` : "");
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
 * A query of the SDK out of one in the form of the protocol, which the panel shows.
 * @param {import("@bunbase/sdk").Realtime} realtime
 * @param {string} collection
 * @param {{sql?: string, where?: any[][], orderBy?: any[][], limit?: number}} query
 * @returns {any}
 */
export function queryOf(realtime, collection, { sql, where = [], orderBy = [], limit }) {
  const all = realtime.database().collection(collection);
  if (sql) return all.sql(sql);
  const found = where.reduce((query, condition) => query.where(...condition), all);
  const sorted = orderBy.reduce((query, key) => query.orderBy(...key), found);
  return limit ? sorted.limit(limit) : sorted;
}

/**
 * What every panel does with a live query: badge, problem, arrival, and a draw in the next frame.
 * @param {object} options
 * @param {Panel} [options.panel]
 * @param {import("../data/feed.js").Feed} options.feed
 * @param {string} options.view which shows the list
 * @param {string} options.label what the list is called
 * @param {number} [options.pageSize] of a list that grows by pages
 * @param {(snapshot: any) => void} options.draw
 * @returns {[(snapshot: any) => void, (error: Error) => void]}
 */
export function listeners({ panel, feed, view, label, pageSize = Infinity, draw }) {
  const key = panel ?? label;
  let loaded = 0; // rows that were asked for, and have come
  drawSoon(key, () => {}); // not what the query before would have drawn
  return [
    (snapshot) => {
      const answer = !loaded || snapshot.docs.length > loaded;
      if (answer) loaded += pageSize;
      panel?.strategy(snapshot);
      feed.snapshot(view, label, snapshot.position, answer);
      drawSoon(key, () => draw(snapshot));
    },
    (error) => panel?.problem(error.message),
  ];
}
