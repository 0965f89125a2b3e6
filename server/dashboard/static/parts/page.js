// What a view is given: the API, the place for its blocks, and polling and following that end with it.

import { poll } from "../data/poll.js";
import { Source } from "../data/source.js";
import { h } from "../shared/lib/dom.js";

const EVERY = 2_000;
/** Rows of a list that comes without asking. */
export const LONGEST = 1_000;
/** What changes with the figures of the nodes, and when their sums for analytics are written. */
export const FIGURES = "realtime.stat_nodes";
export const USAGE = "realtime.usage_nodes";

/** @typedef {import("../data/pages.js").Row} Row */

export class Page {
  #leave = new AbortController();
  /** @type {Map<string, {followed: import("../data/feed.js").Followed, sources: Set<Source<any>>}>} */ #triggers =
    new Map();

  /**
   * @param {HTMLElement} root
   * @param {import("../data/api.js").Api} api
   * @param {import("../data/feed.js").Feed} feed
   * @param {import("../lib/route.js").Route} route
   * @param {(text: string) => void} announce shown for a moment, and read out
   */
  constructor(root, api, feed, route, announce) {
    this.root = root;
    this.api = api;
    this.feed = feed;
    this.route = route;
    this.announce = announce;
  }

  /** Aborted when the view is left. */
  get signal() {
    return this.#leave.signal;
  }

  leave() {
    this.#leave.abort();
  }

  /** The heading of the view. @param {string} title @param {...(Node|string|null)} beside */
  heading(title, ...beside) {
    const heading = h("h1", { tabindex: "-1" }, title);
    this.root.append(h("div.page-head", {}, heading, ...beside));
    document.title = `${title} · Bunbase Realtime`;
    return heading;
  }

  /** @template {import("./block.js").Block} B @param {B} block @param {Element} [where] @returns {B} */
  add(block, where = this.root) {
    where.append(block.element);
    return block;
  }

  /** A list that comes without asking, where there is one. @param {string} collection @param {import("../data/feed.js").Wanted} wanted */
  follow(collection, wanted) {
    return this.feed.follow(collection, wanted, this.signal);
  }

  /**
   * A list that comes without asking; where it does not, what `ask` answers.
   * @param {string} collection
   * @param {object} query
   * @param {(signal: AbortSignal) => Promise<Row[]>} ask
   * @returns {Source<Row[]>}
   */
  rows(collection, query, ask) {
    /** @type {Source<Row[]>} */
    const source = new Source(async (signal) => (await followed.rows()) ?? (await ask(signal)));
    const followed = this.follow(collection, { query, longest: LONGEST, changed: () => source.changed() });
    return source;
  }

  /**
   * What `ask` answers, asked for again when a list that comes without asking has changed, and each time where it does not.
   * @template T
   * @param {string} collection
   * @param {object} query
   * @param {(signal: AbortSignal) => Promise<T>} ask
   * @returns {Source<T>}
   */
  triggered(collection, query, ask) {
    const trigger = this.#followedOnce(collection, query);
    /** @type {Row[]|null} */ let asked = null;
    /** @type {T} */ let answer;
    /** @type {Source<T>} */
    const source = new Source(async (signal) => {
      const rows = await trigger.followed.rows();
      if (rows === null || rows !== asked) {
        answer = await ask(signal);
        asked = rows;
      }
      return answer;
    });
    trigger.sources.add(source);
    return source;
  }

  /** One list for all that it triggers. @param {string} collection @param {object} query */
  #followedOnce(collection, query) {
    const key = JSON.stringify([collection, query]);
    const known = this.#triggers.get(key);
    if (known) return known;
    /** @type {Set<Source<any>>} */ const sources = new Set();
    const changed = () => sources.forEach((source) => source.changed());
    const made = { followed: this.follow(collection, { query, longest: LONGEST, changed }), sources };
    this.#triggers.set(key, made);
    return made;
  }

  /**
   * Keep a block up to date: drawn when there is something else to show, and by the clock, for spans of time.
   * @template T
   * @param {import("./block.js").Block} block
   * @param {Source<T>} source
   * @param {(answer: T) => void} draw
   * @param {number} [every] milliseconds between two questions, or drawings
   * @returns {() => void} ask now
   */
  watch(block, source, draw, every = EVERY) {
    const ask = async (/** @type {AbortSignal} */ signal) => {
      try {
        const answer = await source.load(signal);
        if (signal.aborted) return;
        block.ready();
        draw(answer);
      } catch (error) {
        if (!signal.aborted) block.failed(error);
      }
    };
    return (source.changed = poll(ask, every, this.signal));
  }
}
