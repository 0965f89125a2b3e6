/**
 * One connection over one transport, from dialling to its end: that `connected` comes in time, what was requested over it, and
 * whether it is still alive.
 *
 * Theory of operation
 * -------------------
 *
 *     dialling → open → ended
 *
 * dialling: `connected` has to arrive within `_connectTimeout`. `_hello` is undefined, nothing is sent.
 * open: `_hello` has the limits. After a time without a message a ping is sent, and data has to arrive within `_timeout`. While
 *   another link is in use, `_staged` collects the messages.
 * ended: `_open` is false, no timer runs, nothing is sent or passed on. Either the owner has called `_close`, or `_end` calls the
 *   owner's `_ended`: once, and never after `_close`.
 *
 * Callers: the connection manager makes and closes links; the subscription manager sends over them; the carrier (the
 * transport's end) calls `_message` and `_end`.
 */

import { CloseCode, ErrorCode } from "../protocol/codes.js";
import type { Clock } from "./clock.js";
import type { RealtimeError } from "../protocol/errors.js";
import { Pacer } from "../core/pacer.js";
import type { Carrier } from "../transports/transport.js";
import type { ConnectionSettings } from "./connection_manager.js";
import type { Connected, ControlMessage, Incoming, Routed, ServerMessage } from "../protocol/wire.js";

/** Why a link ended. @internal */
export interface Ending {
  _code: number;
  _reason: string;
  _refused?: RealtimeError | undefined;
  /** Seconds that the server asks to wait before the next attempt. */
  _retryAfter?: number;
}

/** One subscription on one link. @internal */
export interface Slot {
  /** The id of the request; every request has another one, so late answers are recognised. */
  readonly _id: string;
  /** The server has answered. */
  _answered: boolean;
  /** The state that the subscription keeps with it. */
  _memo?: unknown;
}

/** The owner of a link. @internal */
export interface LinkOwner {
  _connected(link: Link): void;
  _received(link: Link, message: Incoming): void;
  _ended(link: Link, ending: Ending): void;
}

/** @internal */
export interface Vigilance {
  /** Milliseconds in which `connected` has to arrive. */
  _connectTimeout: number;
  /** Milliseconds of silence after which a ping is sent. */
  _interval: number;
  /** Milliseconds in which it has to show a sign of life then. */
  _timeout: number;
}

const PING = '{"type":"ping"}';

/** @internal */
export class Link {
  /** The first message of the server. */
  _hello: Connected | undefined;
  _pacer!: Pacer;
  /** Subscription requests to send, each built when it is sent; null: no longer needed. */
  readonly _control: (() => ControlMessage | null)[] = [];
  /** The callbacks for the answers to `unsubscribe`, by id. */
  readonly _leaving = new Map<string, () => void>();
  /** The messages received while another link is in use; undefined: this one is in use. */
  _staged: Routed[] | undefined;
  /** The last error that the server has sent about the connection, which was passed on. */
  _reported: RealtimeError | undefined;
  /** Seconds to wait before the next connection, as the server's error about this one has them. */
  _retryAfter = 0;
  /** The timer of the next send. */
  _pump: (() => void) | undefined;
  /** The timer after which rejected subscriptions are requested again. */
  _again: (() => void) | undefined;
  private _clock: Clock;
  private _carrier: Carrier;
  private _open = true;
  private _receivedAt = 0;
  private _probing = false;
  private _timer: () => void;
  private _pongs: (() => void)[] = [];

  constructor(
    /** The transport's place in the list of transports. */
    readonly _index: number,
    private _settings: ConnectionSettings,
    private _owner: LinkOwner,
  ) {
    const { _transports, _address, _clock, _connectTimeout } = _settings;
    this._clock = _clock;
    this._timer = _clock._after(_connectTimeout, () =>
      this._end({ _code: CloseCode.Abnormal, _reason: "no answer in time" }),
    );
    this._carrier = _transports[_index]!(_address, {
      _message: (message) => this._message(message),
      _received: () => (this._receivedAt = _clock._now()),
      _closed: (_code, _reason, _refused, _retryAfter = this._retryAfter) =>
        this._end({ _code, _reason, _refused, _retryAfter }),
    });
  }

  _send(text: string): void {
    if (this._open) this._carrier._send(text);
  }

  /**
   * Send a ping; without any data in time the link ends.
   *
   * @param then when it has answered everything.
   * @param most milliseconds to wait, if that is less than usual.
   */
  _ping(then?: () => void, most?: number): void {
    if (then) this._pongs.push(then);
    if (!this._hello || !this._open) return;
    this._send(PING);
    if (this._probing && !most) return;
    this._probing = true;
    const sent = (this._receivedAt = this._clock._now() - 1);
    this._timer();
    this._timer = this._clock._after(Math.min(this._settings._timeout, most ?? Infinity), () => {
      if (this._receivedAt === sent) return this._end({ _code: CloseCode.Abnormal, _reason: "the server is silent" });
      this._probing = false;
      this._watch();
    });
  }

  /** End it without a call to the owner. `leave`: for good, so that other clients see it at once; else as if it had broken. */
  _close(leave = true): void {
    if (!this._open) return;
    this._open = false;
    this._timer();
    this._pump?.();
    this._again?.();
    this._carrier._close(leave);
    this._leaving.forEach((resolve) => resolve());
  }

  private _watch(): void {
    const interval = Math.min(this._settings._interval, this._hello!.pingInterval ?? Infinity);
    const rest = this._receivedAt + interval - this._clock._now();
    if (rest > 0) this._timer = this._clock._after(rest, () => this._watch());
    else this._ping();
  }

  private _message(message: ServerMessage): void {
    if (!this._open) return;
    this._receivedAt = this._clock._now();
    if (message.type === "connected") this._greet(message);
    else if (message.type === "pong") this._pongs.splice(0).forEach((then) => then());
    else if (message.type === "auth:expiring") this._renew();
    else if (message.type !== "close" && message.type !== "authenticated") this._owner._received(this, message);
  }

  /** Send a new token. Without one the server ends the connection when the old one expires. */
  private _renew(): void {
    this._settings._address._token?.().then(
      (token) => this._send(JSON.stringify({ type: "auth", token })),
      (error: Error) => {
        const message = error.message;
        if (this._open) this._owner._received(this, { type: "error", code: ErrorCode.AuthenticationFailed, message });
      },
    );
  }

  private _greet(hello: Connected): void {
    this._timer();
    this._hello = hello;
    this._pacer = new Pacer(hello.limits?.messagesPerSecond ?? 100, this._clock._now());
    this._watch();
    this._owner._connected(this);
  }

  private _end(ending: Ending): void {
    if (!this._open) return;
    this._close(false);
    this._owner._ended(this, ending);
  }
}
