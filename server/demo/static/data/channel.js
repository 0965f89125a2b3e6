// One channel over the connection of live.js: its messages, who is there, and publishing that survives a lost connection.
// It knows the protocol and nothing about the page.

import { parsePosition } from "../shared/data/changes.js";

/** @typedef {{id: string, name?: string|null, metadata: Record<string, any>, state: Record<string, any>}} User */
/** @typedef {{id: string, event: string, data: any, sender: string|null, timestamp: string, position: string}} Message */
/**
 * @typedef {object} Handlers
 * @property {(messages: Message[], how: {fresh: boolean, past: boolean}) => void} onMessages in commit order; `fresh`: what was shown before
 *   is to be forgotten; `past`: they were sent before we subscribed
 * @property {(users: User[]) => void} onPresence everybody who is there
 * @property {(id: string) => void} [onAck] a message is committed
 * @property {(message: string, id: string|undefined) => void} [onError] the channel, or the message with that id, was refused
 */

const HISTORY = 50;
const TRANSIENT = new Set(["RT_001", "RT_006"]);
const RETRY_AFTER = 1_000;

export class Channel {
  #live;
  #handlers;
  /** @type {Map<string, User>} */ #users = new Map();
  /** What was sent and is not known to be committed; the id makes sending it again harmless. @type {Map<string, object>} */
  #pending = new Map();
  #position = "";
  #fresh = true;
  #open = false;
  #changed = false;
  #since = 0n;

  /**
   * @param {import("../shared/data/live.js").Live} live
   * @param {string} name
   * @param {Record<string, any>} me what the others see of us
   * @param {Handlers} handlers
   */
  constructor(live, name, me, handlers) {
    this.#live = live;
    this.name = name;
    this.me = me;
    this.#handlers = handlers;
    live.addChannel(this);
  }

  /** The connection is there (again): subscribe from where we were, and send again what may have been lost. */
  connected() {
    const from = this.#position ? { since: this.#position } : { history: HISTORY };
    this.#fresh = !this.#position;
    this.#open = false;
    this.#changed = false;
    this.#live.send({ type: "subscribe", channel: this.name, presence: this.me, ...from });
    for (const message of this.#pending.values()) this.#live.send(message);
  }

  /**
   * Publish. The id it returns is the message's; it is sent until it is committed.
   * @param {string} event
   * @param {any} data
   */
  publish(event, data) {
    const id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`; // only there on secure origins
    const message = { type: "message", channel: this.name, event, data, id };
    this.#pending.set(id, message);
    this.#live.send(message);
    return id;
  }

  /** Change what the others see of us. @param {Record<string, any>} change */
  present(change) {
    this.me = { ...this.me, ...change };
    if (this.#open) this.#live.send({ type: "presence:update", channel: this.name, data: change });
    else this.#changed = true;
  }

  /** @param {any} message one that names this channel */
  receive(message) {
    switch (message.type) {
      case "message":
        this.#position = message.position;
        this.#pending.delete(message.id);
        this.#handlers.onMessages([message], {
          fresh: this.#fresh,
          past: parsePosition(message.position) <= this.#since,
        });
        this.#fresh = false;
        break;
      case "ack":
        if (!message.id || !this.#pending.delete(message.id)) break;
        this.#handlers.onAck?.(message.id);
        break;
      case "subscribed":
        if (message.recovered === false) this.#startAgain();
        else if (this.#fresh) this.#handlers.onMessages([], { fresh: true, past: true });
        this.#since = parsePosition(message.position);
        this.#users = new Map((message.presence?.users ?? []).map((/** @type {User} */ user) => [user.id, user]));
        this.#publishPresence();
        this.#open = true;
        if (this.#changed) this.present(this.me);
        break;
      case "presence:join":
      case "presence:update":
        this.#users.set(message.user.id, message.user);
        this.#publishPresence();
        break;
      case "presence:leave":
        this.#users.delete(message.user.id);
        this.#publishPresence();
        break;
      case "error":
        this.#failed(message);
    }
  }

  /** What we missed has expired: begin with the latest messages, as a newcomer does. */
  #startAgain() {
    this.#position = "";
    this.#live.send({ type: "unsubscribe", channel: this.name });
    this.connected();
  }

  #publishPresence() {
    this.#handlers.onPresence([...this.#users.values()]);
  }

  /** @param {{code: string, message: string, id?: string}} error */
  #failed({ code, message, id }) {
    const sent = id && this.#pending.get(id);
    if (sent && TRANSIENT.has(code)) {
      setTimeout(() => this.#pending.has(id) && this.#live.send(sent), RETRY_AFTER);
      return;
    }
    if (sent) this.#pending.delete(id);
    else if (TRANSIENT.has(code)) setTimeout(() => this.connected(), RETRY_AFTER);
    this.#handlers.onError?.(message, sent ? id : undefined);
  }
}
