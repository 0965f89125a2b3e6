// What the server sends without being asked: the page's lists as live queries. Where the connection is refused or lost, the
// API is asked.

import { Live } from "./live.js";

/** @typedef {import("./pages.js").Row} Row */
/** @typedef {{query: object, longest: number, changed: () => void}} Wanted a builder query, as a rule without `limit`; `changed` is called with each change, and when the list is to be asked for */
/** @typedef {{rows: () => Promise<Row[]|null>, stop: () => void}} Followed `rows`: as they are now; null: ask the API */

/** A client that the server has disconnected, or refused, stays away (docs/reference/protocol.md). */
const FINAL_CLOSES = new Set([4001, 4401]);
/** The server takes the connection for that of a client like any other: it has no such list for it. */
const NO_OPERATOR = new Set(["RT_003", "RT_004"]);
/** A subprotocol carries the key, in base64 of ASCII. */
const SENDABLE = /^[ -~]+$/;

/** Dispatches `state` when `on` changes. */
export class Feed extends EventTarget {
  /** @type {Live|null} */ #live = null;
  #on = false;

  /** Whether the connection is there. */
  get on() {
    return this.#on;
  }

  /** Connect with a key or an administrator's token; null: as what this machine may. @param {string|null} key */
  open(key) {
    this.close();
    if (key !== null && !SENDABLE.test(key)) return;
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/realtime`;
    const live = new Live(key === null ? `${address}?watch=on` : address, key);
    this.#live = live;
    let greeted = false;
    live.addEventListener("state", () => {
      greeted ||= live.state === "connected";
      this.#become(live.state === "connected");
    });
    live.addEventListener("ended", (event) => {
      if (!greeted || FINAL_CLOSES.has(/** @type {CustomEvent} */ (event).detail.code)) this.close();
    });
  }

  close() {
    this.#live?.close();
    this.#live = null;
  }

  /**
   * Follow a list of at most `longest` rows. One that is longer, or refused, is not followed any more.
   * @param {string} collection
   * @param {Wanted} wanted
   * @param {AbortSignal} signal ends it
   * @returns {Followed}
   */
  follow(collection, { query, longest, changed }, signal) {
    const stopping = new AbortController();
    const ended = AbortSignal.any([signal, stopping.signal]);
    /** @type {Row[]|null} */ let rows = null;
    /** @type {{cancel: () => void}|null} */ let subscription = null;
    let { promise: first, resolve: arrived } = later();

    const drop = () => {
      subscription?.cancel();
      subscription = null;
      rows = null;
      arrived();
    };
    const stop = () => {
      stopping.abort();
      drop();
    };
    const start = () => {
      drop();
      if (ended.aborted || !this.#on || !this.#live) return;
      ({ promise: first, resolve: arrived } = later());
      subscription = this.#live.subscribe(
        collection,
        { limit: longest + 1, ...query },
        {
          onChange: (docs) => {
            if (docs.length > longest) stop();
            else rows = docs.map(({ data }) => data);
            arrived();
            changed();
          },
          onError: (_, code) => {
            drop();
            if (NO_OPERATOR.has(code)) this.close();
            changed();
          },
        },
      );
    };
    this.addEventListener("state", () => (start(), changed()), { signal: ended });
    signal.addEventListener("abort", stop, { signal: stopping.signal });
    start();
    return {
      rows: async () => {
        if (subscription) await first;
        return rows;
      },
      stop,
    };
  }

  /** @param {boolean} on */
  #become(on) {
    if (on === this.#on) return;
    this.#on = on;
    this.dispatchEvent(new Event("state"));
  }
}

/** A promise, and what fulfils it. */
function later() {
  /** @type {() => void} */ let resolve = () => {};
  const promise = /** @type {Promise<void>} */ (new Promise((fulfil) => (resolve = fulfil)));
  return { promise, resolve };
}
