// A small client for live queries over the WebSocket: connect, subscribe, keep each list right, come back after a loss.
// It knows the protocol and nothing about the page.

import { applyChanges, OutOfStep } from "./changes.js";

/** @typedef {import("./changes.js").Doc} Doc */
/** @typedef {"connecting"|"connected"|"waiting"|"closed"} State */
/**
 * @typedef {object} Handlers
 * @property {(docs: Doc[]) => void} onChange
 * @property {(message: string, code: string) => void} [onError] the server refused the query, or ended it for good
 */

const FIRST_DELAY = 500;
const LONGEST_DELAY = 15_000;
const PING_EVERY = 20_000;
const PONG_WITHIN = 10_000;
/** A connection that lasted this long was a good one: the next loss starts with short delays again. */
const STEADY_AFTER = 5_000;
/** The query itself is wrong or not allowed: asking again would give the same answer. Other errors may pass. */
const FINAL_ERRORS = new Set(["RT_003", "RT_004", "RT_007"]);

/** Exponential back-off with full jitter: anything between nothing and a limit that doubles, so crowds spread out. */
export const backOff = (/** @type {number} */ attempt, random = Math.random) =>
  random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 16));

const base64url = (/** @type {string} */ text) =>
  btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Close a socket, once it is open: browsers report an error in their console where one is closed while it connects. */
const end = (/** @type {WebSocket|null} */ socket) => {
  if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close(1000);
  else socket?.close(1000);
};

/** One query. `docs` is its list as of the last event. */
class Subscription {
  /** @type {Doc[]} */ docs = [];
  failures = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ timer;

  constructor(
    /** @type {Live} */ live,
    /** @type {string} */ id,
    /** @type {string} */ collection,
    /** @type {object} */ query,
    /** @type {Handlers} */ handlers,
  ) {
    this.live = live;
    this.id = id;
    this.channel = `db:collection:${collection}`;
    this.query = query;
    this.handlers = handlers;
  }

  cancel() {
    this.live.cancel(this);
  }
}

/**
 * The connection and its subscriptions. Dispatches `state` when the connection changes, and `ended` with
 * the code when it is closed from elsewhere.
 */
export class Live extends EventTarget {
  /** @type {State} */ state = "connecting";
  #url;
  #protocols;
  #closing = new AbortController();
  /** @type {WebSocket|null} */ #socket = null;
  /** @type {Map<string, Subscription>} */ #subscriptions = new Map();
  #nextId = 1;
  #attempt = 0;
  #connectedAt = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #retry;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #heartbeat;

  /**
   * @param {string} url
   * @param {string|null} [token] proves who connects; in ASCII, as JSON Web Tokens are
   */
  constructor(url, token = null) {
    super();
    this.#url = `${url}${url.includes("?") ? "&" : "?"}delta=on`;
    this.#protocols = token === null ? [] : ["bunbase", `bunbase.token.${base64url(token)}`];
    const { signal } = this.#closing;
    addEventListener("online", () => this.reconnectNow(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.reconnectNow(), { signal });
    this.#open();
  }

  /**
   * Follow a query. Handlers run in the order in which events arrive.
   * @param {string} collection
   * @param {object} query
   * @param {Handlers} handlers
   */
  subscribe(collection, query, handlers) {
    const subscription = new Subscription(this, `q${this.#nextId++}`, collection, query, handlers);
    this.#subscriptions.set(subscription.id, subscription);
    this.#ask(subscription);
    return subscription;
  }

  /** @param {Subscription} subscription */
  cancel(subscription) {
    clearTimeout(subscription.timer);
    if (!this.#subscriptions.delete(subscription.id)) return;
    this.#send({ type: "unsubscribe", channel: subscription.channel, id: subscription.id });
  }

  /** End the connection, for good. */
  close() {
    const socket = this.#socket;
    this.#closing.abort();
    this.#lost();
    end(socket);
  }

  /** Do not wait for the timer: the network is back, or the visitor is. */
  reconnectNow() {
    if (this.state !== "waiting") return;
    clearTimeout(this.#retry);
    this.#open();
  }

  #open() {
    const socket = new WebSocket(this.#url, this.#protocols);
    this.#socket = socket;
    this.#become("connecting");
    socket.onopen = () => this.#expectLife();
    socket.onmessage = (message) => this.#receive(JSON.parse(message.data));
    socket.onclose = ({ code }) => {
      if (this.#socket !== socket) return;
      this.dispatchEvent(new CustomEvent("ended", { detail: { code } }));
      if (this.#socket === socket) this.#lost();
    };
  }

  #lost() {
    clearTimeout(this.#heartbeat);
    this.#socket = null;
    if (this.#connectedAt && performance.now() - this.#connectedAt > STEADY_AFTER) this.#attempt = 0;
    this.#connectedAt = 0;
    for (const subscription of this.#subscriptions.values()) clearTimeout(subscription.timer);
    if (this.#closing.signal.aborted) {
      clearTimeout(this.#retry);
      this.#become("closed");
      return;
    }
    this.#retry = setTimeout(() => this.#open(), backOff(this.#attempt++));
    this.#become("waiting");
  }

  #become(/** @type {State} */ state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  /** @param {object} message */
  #send(message) {
    if (this.state === "connected") this.#socket?.send(JSON.stringify(message));
  }

  /** @param {Subscription} subscription */
  #ask({ id, channel, query }) {
    this.#send({ type: "subscribe", channel, id, query });
  }

  #receive(/** @type {any} */ message) {
    this.#expectLife();
    const subscription = this.#subscriptions.get(message.id);
    if (message.type === "connected") {
      this.#connectedAt = performance.now();
      const waiting = [...this.#subscriptions.values()];
      this.#become("connected"); // what this makes others subscribe to is asked for then
      for (const each of waiting) if (this.#subscriptions.has(each.id)) this.#ask(each);
    } else if (message.type === "snapshot" && subscription) {
      this.#apply(subscription, message);
    } else if (message.type === "subscribed" && subscription) {
      subscription.failures = 0;
    } else if (message.type === "error" && subscription) {
      this.#failed(subscription, message);
    }
  }

  /**
   * @param {Subscription} subscription
   * @param {any} message
   */
  #apply(subscription, { changes, reset = false }) {
    try {
      subscription.docs = applyChanges(reset ? [] : subscription.docs, changes);
    } catch (error) {
      if (!(error instanceof OutOfStep)) throw error;
      console.warn(`Reading the list again: ${error.message}`);
      this.#renew(subscription);
      return;
    }
    subscription.handlers.onChange(subscription.docs);
  }

  /** Ask again under a new id: events of the old one that are still on their way are ignored then. */
  #renew(/** @type {Subscription} */ subscription) {
    this.cancel(subscription);
    subscription.id = `q${this.#nextId++}`;
    this.#subscriptions.set(subscription.id, subscription);
    this.#ask(subscription);
  }

  /**
   * @param {Subscription} subscription
   * @param {{code: string, message: string}} error
   */
  #failed(subscription, { code, message }) {
    if (FINAL_ERRORS.has(code)) this.#subscriptions.delete(subscription.id);
    else subscription.timer = setTimeout(() => this.#ask(subscription), 250 + backOff(subscription.failures++));
    subscription.handlers.onError?.(message, code);
  }

  /** A socket can die without a word. Ask for a sign of life when it has been quiet, and give up without an answer. */
  #expectLife() {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => {
      this.#send({ type: "ping" });
      this.#heartbeat = setTimeout(() => {
        const socket = this.#socket;
        this.#lost(); // closing a dead socket can take minutes to be noticed, so do not wait for it
        end(socket);
      }, PONG_WITHIN);
    }, PING_EVERY);
  }
}
