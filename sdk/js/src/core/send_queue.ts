/**
 * Messages that are not answered yet, in the order of their sends.
 *
 * The invariant: on every connection messages go out in that order, each once, beginning with the oldest unanswered one. As the
 * server stores a message's id once, sends over several connections still store every message once, in order.
 */

import { ErrorCode } from "../protocol/codes.js";
import { RealtimeError } from "../protocol/errors.js";
import { stringify } from "../protocol/json.js";
import { tooLarge } from "./size.js";
import type { Acknowledged, ClientMessage } from "../protocol/wire.js";

interface Entry {
  _message: ClientMessage;
  _text: string;
  _sent: boolean;
  /** The message to send on another connection, if not the same one. */
  _renew: (() => ClientMessage) | undefined;
  _resolve: (ack: Acknowledged) => void;
  _reject: (error: RealtimeError) => void;
}

/** @internal */
export class SendQueue {
  private _entries = new Map<string, Entry>();
  private _refs = 0;

  constructor(private _limit: number) {}

  /**
   * Take a message; it is given its `ref`. The result is the server's `ack`, or an error.
   *
   * @param online whether there is a connection. Without one, the number of waiting messages is limited.
   * @param size bytes of JSON that the server takes as one message.
   */
  _add(message: ClientMessage, online: boolean, size: number, renew?: () => ClientMessage): Promise<Acknowledged> {
    const ref = String(++this._refs);
    const wire = { ...message, ref };
    // As text at once: later changes of the application's object are not sent.
    const text = stringify(wire);
    const about = { channel: message.channel, ref };
    if (!online && this._entries.size >= this._limit)
      return Promise.reject(
        new RealtimeError(
          ErrorCode.ConnectionFailed,
          `not connected, and ${this._limit} messages are waiting already`,
          about,
        ),
      );
    const problem = tooLarge(text, size);
    if (problem) return Promise.reject(new RealtimeError(ErrorCode.MessageTooLarge, problem, about));
    return new Promise((_resolve, _reject) => {
      this._entries.set(ref, { _message: wire, _text: text, _sent: false, _renew: renew, _resolve, _reject });
    });
  }

  /** The oldest message that this connection has not sent, as text. It counts as sent from now on. */
  _next(): string | undefined {
    for (const entry of this._entries.values()) {
      if (entry._sent) continue;
      entry._sent = true;
      return entry._text;
    }
    return undefined;
  }

  /** The server has answered `ref`. */
  _answered(ref: string, answer: Acknowledged | RealtimeError): void {
    const entry = this._entries.get(ref);
    this._entries.delete(ref);
    if (answer instanceof RealtimeError) entry?._reject(answer);
    else entry?._resolve(answer);
  }

  /** The server's rate limit was hit: `ref` is sent again, before those after it that wait. */
  _again(ref: string): void {
    const entry = this._entries.get(ref);
    if (entry) entry._sent = false;
  }

  /** Another connection: everything unanswered is sent again. */
  _restart(): void {
    for (const [ref, entry] of this._entries) {
      entry._sent = false;
      if (entry._renew) entry._text = stringify({ ...entry._renew(), ref }, true);
    }
  }

  /** Answer everything with an error. */
  _fail(reason: string): void {
    const entries = [...this._entries];
    this._entries.clear();
    for (const [ref, { _message, _reject }] of entries)
      _reject(new RealtimeError(ErrorCode.ConnectionFailed, reason, { channel: _message.channel, ref }));
  }
}
