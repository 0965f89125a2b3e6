/**
 * The subscriptions of a client, independent of the current connection. What channels need beside them is in `message_manager`, so
 * that a bundle with live queries alone does not have it.
 *
 * The invariant: every link has exactly these subscriptions. When one is lost, or replaced, the next one subscribes from the position
 * at which the last one ended.
 */

import { ErrorCode } from "../protocol/codes.js";
import { fullJitter } from "../core/backoff.js";
import { ConnectionManager, type ConnectionSettings, type ConnectionHandler } from "./connection_manager.js";
import { RealtimeError } from "../protocol/errors.js";
import { stringify } from "../protocol/json.js";
import type { Link, Slot } from "./link.js";
import { tooLarge } from "../core/size.js";
import { Slots } from "./slots.js";
import type { Subscription } from "./subscription.js";
import type { Delivered, Incoming, Rejected, Routed } from "../protocol/wire.js";

const IDLE = 1000; // ms
const HANDOVER = 2000; // ms in which the old link has to deliver its last messages
const RETRY_CAP = 30_000; // ms

/** @internal */
export class SubscriptionManager implements ConnectionHandler {
  readonly _connection: ConnectionManager;
  /** Called after a time without subscriptions. */
  _idle: (() => void) | undefined;
  private _wanted = new Set<Subscription>();
  private _slots = new WeakMap<Link, Slots>();
  private _prepared: (() => void) | undefined;
  /** Bytes of JSON that the server takes as one message. */
  protected _messageSize = 2 ** 17;
  private _ids = 0;
  private _failures = 0;

  constructor(readonly _settings: ConnectionSettings) {
    this._connection = new ConnectionManager(_settings, this);
  }

  /** Open a subscription, on this and every later connection. */
  _want(subscription: Subscription): void {
    this._wanted.add(subscription);
    this._sync();
  }

  /** End a subscription, on this and every later connection. */
  _unwant(subscription: Subscription): void {
    const { _active: link, _next: next } = this._connection;
    const requested = link && this._slotsOf(link)._of.has(subscription);
    this._drop(subscription);
    if (next?._staged) {
      this._release(next); // its buffered messages are not delivered when it takes over
      this._checkPrepared(next);
    }
    if (requested) this._sync();
  }

  /** Log an error that no listener has got. */
  _report(error: RealtimeError): void {
    console.error(`[bunbase] ${error.code}${error.channel ? ` ${error.channel}` : ""}: ${error.message}`);
  }

  /** The error about what takes too long: also why, if there is no connection. */
  _late(what: string, timeout: number): RealtimeError {
    const { _state, _reason } = this._connection;
    const why = _state === "open" ? "" : `: the client is ${_state}${_reason && ` (${_reason})`}`;
    return new RealtimeError(ErrorCode.ConnectionFailed, `${what} within ${timeout} ms${why}`);
  }

  /** Call `run` after `ms` milliseconds; the result cancels it. */
  _after(ms: number, run: () => unknown): () => void {
    return this._settings._clock._after(ms, run);
  }

  _disconnect(): void {
    this._connection._disconnect();
  }

  // Called by the connection.

  _begin(link: Link, seamless: boolean): void {
    this._prepared = undefined;
    this._messageSize = link._hello!.limits?.messageSize ?? this._messageSize;
    const staged = link._staged;
    link._staged = undefined;
    for (const message of staged ?? []) this._dispatch(link, message, seamless);
    this._sync();
  }

  _prepare(link: Link, ready: () => void): void {
    // When the new link and then the old one have answered, no message is in flight on the old one only.
    this._prepared = () => {
      this._prepared = undefined;
      link._ping(() => {
        const once = (): void => {
          cancel();
          ready(); // harmless a second time
        };
        const cancel = this._after(HANDOVER, once);
        this._connection._active?._ping(once);
      });
    };
    this._subscribe(link);
    this._checkPrepared(link);
  }

  _process(link: Link, message: Incoming): void {
    const { type } = message;
    if ((message as Rejected).ref || /subscribed$/.test(type) || (type === "error" && message.id))
      link._pacer._answered();
    if (type === "reconnect") {
      if (!link._staged) this._connection._drain(message.delay);
    } else this._take(link, message);
    this._pump(link);
  }

  private _take(link: Link, message: Routed): void {
    const { type } = message;
    if (!link._staged || isLimit(message)) return this._dispatch(link, message, false);
    link._staged.push(message);
    const slot = this._slotOf(link, message);
    if (slot && (type === "subscribed" || type === "error")) slot._answered = true;
    this._checkPrepared(link);
  }

  _failed(error: RealtimeError, reported: boolean): void {
    this._refuse(error);
    if (!reported) this._report(error);
  }

  // Subscriptions.

  /** End those that have not begun yet: a caller waits for them. Without an error only channels. */
  protected _refuse(error?: RealtimeError): void {
    for (const subscription of [...this._wanted]) {
      if (subscription._begun || !(error || subscription._isChannel)) continue;
      this._drop(subscription);
      subscription._ended(error);
    }
  }

  private _drop(subscription: Subscription): void {
    this._wanted.delete(subscription);
    if (this._idle && !this._wanted.size) this._after(IDLE, () => this._wanted.size || this._idle!());
  }

  protected _sync(): void {
    const link = this._connection._active;
    if (!link || link._staged) return;
    this._subscribe(link);
    this._release(link);
  }

  /** End the subscriptions that are no longer needed. */
  private _release(link: Link): void {
    const slots = this._slotsOf(link);
    for (const [subscription, slot] of slots._of) {
      if (this._wanted.has(subscription)) continue;
      slots._forget(subscription);
      link._control.push(() => ({ type: "unsubscribe", channel: subscription._name, id: slot._id }));
    }
    this._pump(link);
  }

  private _subscribe(link: Link): void {
    const slots = this._slotsOf(link);
    for (const subscription of this._wanted) if (!slots._of.has(subscription)) this._ask(link, slots, subscription);
    this._pump(link);
  }

  private _ask(link: Link, slots: Slots, subscription: Subscription): void {
    const _id = `s${++this._ids}`;
    const slot: Slot = { _id, _answered: false };
    slots._add(subscription, slot);
    link._control.push(() =>
      // Unsubscribed before it was requested: the `unsubscribe` behind it is answered by RT_004, which is ignored.
      slots._has(_id)
        ? { type: "subscribe", channel: subscription._name, id: _id, ...subscription._request(slot) }
        : null,
    );
  }

  protected _slotsOf(link: Link): Slots {
    if (!this._slots.has(link)) this._slots.set(link, new Slots());
    return this._slots.get(link)!;
  }

  private _slotOf(link: Link, message: Routed): Slot | undefined {
    const slots = this._slotsOf(link);
    return (message as Rejected).ref ? undefined : slots._of.get(slots._find(message)!);
  }

  private _checkPrepared(link: Link): void {
    if ([...this._slotsOf(link)._of.values()].every((slot) => slot._answered)) this._prepared?.();
  }

  // Messages.

  protected _pump(link: Link | undefined): void {
    if (!link?._hello) return;
    link._pump?.();
    link._pump = undefined;
    for (;;) {
      const wait = link._pacer._wait(this._settings._clock._now());
      if (wait > 0) {
        if (wait < Infinity) link._pump = this._after(wait, () => this._pump(link));
        return;
      }
      const text = this._nextText(link);
      if (text === undefined) return;
      link._pacer._sent();
      link._send(text);
    }
  }

  protected _nextText(link: Link): string | undefined {
    for (let make; (make = link._control.shift());) {
      const message = make();
      if (!message) continue;
      const text = stringify(message, true);
      const problem = tooLarge(text, this._messageSize);
      if (!problem) return text;
      // Answered here: a server ends the connection over it, and the next connection would begin with the same request.
      const { channel, id } = message;
      this._take(link, { type: "error", code: ErrorCode.MessageTooLarge, message: problem, channel, id });
    }
    return undefined;
  }

  protected _dispatch(link: Link, message: Routed, seamless: boolean): void {
    if (message.type === "error") return this._error(link, message);
    const subscription = this._slotsOf(link)._find(message);
    const slot = subscription && this._slotsOf(link)._of.get(subscription);
    if (!slot) return;
    if (message.type === "subscribed") {
      this._failures = 0;
      slot._answered = true;
      subscription._subscribed(message, slot, seamless);
    } else subscription._process(message as Delivered, slot);
  }

  protected _error(link: Link, message: Rejected): void {
    const { code, id, retryAfter = 0 } = message;
    this._limited(link, message);
    const subscription = this._slotsOf(link)._find(message);
    // With an id without an entry it answers an `unsubscribe`; without an id it concerns the connection.
    if (!subscription) {
      if (id !== undefined) return;
      link._retryAfter = retryAfter;
      return this._report((link._reported = errorOf(message)));
    }
    // Without a time to wait only the application can make room.
    if (code === ErrorCode.ConnectionFailed || (isLimit(message) && retryAfter))
      this._askAgain(link, subscription, retryAfter);
    else this._end(link, subscription, errorOf(message));
  }

  /** Pause after an error of a rate: a token comes within a second. Returns whether it is one. */
  protected _limited(link: Link, message: Rejected): boolean {
    // A longer time is about the number of something, or about one message, and stops no other request.
    const { retryAfter = 0 } = message;
    const soon = isLimit(message) && retryAfter <= 1;
    if (soon) link._pacer?._block(this._settings._clock._now() + (retryAfter || 1) * 1000);
    return soon;
  }

  /** The server could not, for the moment. */
  private _askAgain(link: Link, subscription: Subscription, retryAfter: number): void {
    const slots = this._slotsOf(link);
    slots._forget(subscription);
    if (retryAfter && retryAfter <= 1) return this._ask(link, slots, subscription);
    const { _clock, _delay } = this._settings;
    const delay = retryAfter * 1000 + fullJitter(this._failures++, _delay, RETRY_CAP, _clock._random);
    link._again ??= this._after(delay, () => {
      link._again = undefined;
      this._sync();
    });
  }

  protected _end(link: Link, subscription: Subscription, error: RealtimeError): void {
    this._slotsOf(link)._forget(subscription);
    this._drop(subscription);
    subscription._ended(error);
  }
}

/** @internal */
export const errorOf = (message: Rejected): RealtimeError => new RealtimeError(message.code, message.message, message);

const isLimit = (message: Routed): boolean => message.type === "error" && message.code === ErrorCode.RateLimited;
