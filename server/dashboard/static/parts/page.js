// What a view is given: the API, the place for its blocks, and polling and following that end with it.

import { poll } from "../data/poll.js";
import { h } from "../shared/lib/dom.js";

const EVERY = 2_000;

export class Page {
  #leave = new AbortController();

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

  /** Call back when an alert has been raised or cleared. @param {() => void} changed */
  onAlerts(changed) {
    this.feed.addEventListener("alerts", changed, { signal: this.signal });
  }

  /**
   * Keep a block up to date.
   * @template T
   * @param {import("./block.js").Block} block
   * @param {(signal: AbortSignal) => Promise<T>} load
   * @param {(answer: T) => void} draw
   * @param {number} [every] milliseconds between two questions
   * @returns {() => void} ask now
   */
  watch(block, load, draw, every = EVERY) {
    const ask = async (/** @type {AbortSignal} */ signal) => {
      try {
        const answer = await load(signal);
        if (signal.aborted) return;
        block.ready();
        draw(answer);
      } catch (error) {
        if (!signal.aborted) block.failed(error);
      }
    };
    return poll(ask, every, this.signal);
  }
}
