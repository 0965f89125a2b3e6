/**
 * The subscriptions of a client, and its messages that are answered: they are sent again on the next connection until they are
 * acknowledged. Its events go to the application.
 */

import { CLOSE_ERRORS, CloseCode, ErrorCode } from "../protocol/codes.js";
import type { ConnectionHandler, ConnectionSettings } from "./connection_manager.js";
import type { Emitter } from "../core/emitter.js";
import { RealtimeError } from "../protocol/errors.js";
import type { Ending, Link } from "./link.js";
import type { SendQueue } from "../core/send_queue.js";
import type { Subscription } from "./subscription.js";
import { errorOf, SubscriptionManager } from "./subscription_manager.js";
import type { Acknowledged, ClientMessage, Rejected, Routed } from "../protocol/wire.js";

/** @internal */
export class MessageManager extends SubscriptionManager implements ConnectionHandler {
  /** Connects for a call; undefined: the application does. */
  _attempt: (() => void) | undefined;

  constructor(
    settings: ConnectionSettings,
    private _events: Emitter,
    private _sendQueue: SendQueue,
  ) {
    super(settings);
  }

  override _want(subscription: Subscription): void {
    const failed = this._waits();
    if (failed) subscription._ended(failed);
    else super._want(subscription);
  }

  /** End a subscription. Resolves when the server has ended it, or at once if it was not requested. */
  _leave(subscription: Subscription): Promise<void> {
    const link = this._connection._active;
    const slot = link && this._slotsOf(link)._of.get(subscription);
    const left = new Promise<void>((resolve) => (slot ? link._leaving.set(slot._id, resolve) : resolve()));
    this._unwant(subscription);
    return left;
  }

  /** Send until it is acknowledged. `renew`: the form in which it is sent again. */
  _send(message: ClientMessage, renew?: () => ClientMessage): Promise<Acknowledged> {
    const failed = this._waits();
    if (failed) return Promise.reject(failed);
    const sent = this._sendQueue._add(message, this._connection._state === "open", this._messageSize, renew);
    this._pump(this._connection._active);
    return sent;
  }

  /** Something waits for a connection. Returns why there will be none. */
  private _waits(): RealtimeError | undefined {
    if (this._connection._state === "closed") this._attempt?.();
    const { _state, _reason } = this._connection;
    if (_state !== "failed") return undefined;
    const text = `the connection has failed (${_reason}); connect() tries again`;
    return new RealtimeError(ErrorCode.ConnectionFailed, text);
  }

  /** Emit an error that no listener of a subscription has got; where none of the client gets it either, it is logged. */
  override _report(error: RealtimeError): void {
    if (!this._events._deliver("error", error)) super._report(error);
  }

  override _disconnect(): void {
    const before = this._connection._active;
    super._disconnect();
    this._sendQueue._fail("disconnected before the server had acknowledged it");
    this._refuse();
    if (before) this._interrupted({ _code: CloseCode.Normal, _reason: "disconnected by the application" });
  }

  // Called by the connection.

  override _begin(link: Link, seamless: boolean): void {
    this._sendQueue._restart(); // before a listener sends something
    super._begin(link, seamless);
    this._events._deliver("transport");
  }

  _interrupted({ _code: code, _reason: reason }: Ending): void {
    const error = new RealtimeError(CLOSE_ERRORS[code] ?? ErrorCode.ConnectionFailed, reason);
    this._events._deliver("disconnected", { code, reason, ...(code !== CloseCode.Normal && { error }) });
  }

  override _failed(error: RealtimeError, reported: boolean): void {
    this._sendQueue._fail(error.message);
    super._failed(error, reported);
  }

  _stateChanged(): void {
    this._events._deliver("");
  }

  // Messages.

  protected override _nextText(link: Link): string | undefined {
    return super._nextText(link) ?? (link === this._connection._active ? this._sendQueue._next() : undefined);
  }

  protected override _dispatch(link: Link, message: Routed, seamless: boolean): void {
    if (isAnswer(message)) return this._sendQueue._answered(message.ref, message);
    if (message.type === "unsubscribed") return left(link, message.id);
    if (message.type !== "error" && message.channel === "*") return void this._events._deliver(message.type, message);
    const slots = this._slotsOf(link);
    const closed = message.type === "room:closed" && slots._find(message);
    const slot = closed && slots._of.get(closed);
    super._dispatch(link, message, seamless);
    // A listener may have unsubscribed, and subscribed again.
    if (slot && slots._of.get(closed) === slot)
      this._end(link, closed, new RealtimeError(ErrorCode.NotFound, "the room was closed", message));
  }

  protected override _error(link: Link, message: Rejected): void {
    const { ref, id } = message;
    if (ref === undefined) {
      if (id !== undefined && !this._slotsOf(link)._has(id)) left(link, id);
      super._error(link, message);
    } else if (this._limited(link, message)) this._sendQueue._again(ref);
    else this._sendQueue._answered(ref, errorOf(message));
  }
}

/** The server has let go of the subscription `id`. */
function left({ _leaving }: Link, id: string): void {
  _leaving.get(id)?.();
  _leaving.delete(id);
}

const isAnswer = (message: Routed): message is Acknowledged => "ref" in message && message.type !== "error";
