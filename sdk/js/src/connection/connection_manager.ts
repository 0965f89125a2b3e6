/**
 * The state of the connection: which transport is used, when to try again, when to change to a better one.
 *
 * The invariant: at most one link is in use (`_active`), and at most one other is being opened (`_next`). A link that is to take over
 * from one that still works is opened and subscribed completely first; only then does it become the one in use.
 *
 * Theory of operation
 * -------------------
 *
 *     closed → connecting → open ⇄ offline → failed | closed
 *
 * connecting, offline: no link is in use; offline from the first failure of all transports on. `_dial` opens `_next` over the transports of `_order`, one after the other; when
 *   all have failed, `_retry` waits and tries again, and gives up (failed) after too many attempts.
 * open: `_active` is in use. `_replace` may open `_next` beside it, over a better transport or because the server stops;
 *   when it is prepared, it becomes `_active`. If `_active` ends before, a prepared `_next` takes over at once.
 * failed: the server has refused the client, or there were too many attempts. `_connect` begins anew.
 * closed: before the first `_connect`, and after `_disconnect`. No link, no timer.
 *
 * Timers: one of `_cancelRetry`, `_cancelReplace`, `_cancelPrepare` at most for each purpose; `_drop` ends all of them.
 * Callers: the client connects and disconnects and reports what the browser knows of the network; links call `_connected`,
 * `_received` and `_ended`, the last one once.
 */

import { CloseCode, ErrorCode } from "../protocol/codes.js";
import { fullJitter } from "../core/backoff.js";
import type { Clock } from "./clock.js";
import { RealtimeError } from "../protocol/errors.js";
import { Link, type Ending, type LinkOwner, type Vigilance } from "./link.js";
import type { Address, Transport } from "../transports/transport.js";
import type { Incoming } from "../protocol/wire.js";

/** The options of the connection. @internal */
export interface ConnectionSettings extends Vigilance {
  _transports: Transport[];
  _address: Address;
  /** The address was not given. */
  _guessed: boolean;
  _reconnect: boolean;
  _delay: number;
  _maxDelay: number;
  _maxAttempts: number;
  _upgradeInterval: number;
  _clock: Clock;
}

/** The user of the connection: gets its state and its messages. @internal */
export interface ConnectionHandler {
  /** The link is the one in use now; `seamless`: it took over from another, and no message was missed. */
  _begin(link: Link, seamless: boolean): void;
  /** Prepare the link while another is in use: subscribe to everything on it, then call `ready`. */
  _prepare(link: Link, ready: () => void): void;
  _process(link: Link, message: Incoming): void;
  /** No link is in use. */
  _interrupted?(ending: Ending): void;
  /** Failed for good; `reported`: the server has sent the reason. */
  _failed(error: RealtimeError, reported: boolean): void;
  /** The state, or the reason for it, may be another. */
  _stateChanged?(): void;
}

/** A `ConnectionState`; `needs-auth` is one of `failed`. */
type State = "closed" | "connecting" | "open" | "offline" | "failed";

const OFFLINE_TIMEOUT = 2000; // ms in which a link has to answer when the browser reports no network
const WARN_AFTER = 1500; // ms after which a page learns that nothing answers where it came from
const PREPARE_TIMEOUT = 30_000; // ms in which a link that is to take over has to be ready

/** @internal */
export class ConnectionManager implements LinkOwner {
  _state: State = "closed";
  _active: Link | undefined;
  _next: Link | undefined;
  private _order: number[] = []; // transports that are still to be tried for `_next`
  private _last: number | undefined; // the transport that worked last
  private _attempts = 0;
  private _retryAfter = 0; // seconds that the server has asked to wait since the last attempt
  /** Why there is no connection. */
  _reason = "";
  /** Why it was given up. */
  _refusal: RealtimeError | undefined;
  /** When the next attempt begins, if one is planned: by the clock. */
  _retryAt: number | undefined;
  private _cancelRetry: (() => void) | undefined;
  private _cancelWarning: (() => void) | undefined;
  private _warned = false;
  private _cancelReplace: (() => void) | undefined;
  private _cancelPrepare: (() => void) | undefined;

  constructor(
    private _settings: ConnectionSettings,
    private _handler: ConnectionHandler,
  ) {}

  _connect(): void {
    if (this._state !== "closed" && !this._refusal) return;
    this._attempts = 0;
    this._reason = "";
    this._refusal = undefined;
    this._set("connecting");
    const { _clock, _guessed } = this._settings;
    if (_guessed && this._last === undefined)
      this._cancelWarning = _clock._after(WARN_AFTER, () => this._warn("no answer yet"));
    this._attempt();
  }

  /** `refusal`: why it was given up. */
  _disconnect(refusal?: RealtimeError): void {
    this._drop();
    this._active?._close();
    this._active = undefined;
    this._cancelWarning?.();
    this._refusal = refusal;
    this._reason = refusal?.message ?? "";
    this._set(refusal ? "failed" : "closed");
  }

  /** The network is back, or the page became visible: end the wait. */
  _reconnectNow(): void {
    if (this._active) {
      this._active._ping();
      if (this._active._index > 0) this._replace(0, true);
    } else if (this._cancelRetry) this._attempt();
  }

  /** The network is down: no attempts until `_reconnectNow`, and the link in use has to answer a ping soon. */
  _sleep(): void {
    if (this._active) return this._active._ping(undefined, OFFLINE_TIMEOUT);
    if (!this._next && !this._cancelRetry) return;
    this._drop();
    this._cancelRetry = () => {};
    this._reason = "no network";
    this._set("offline");
  }

  /** The server stops in `delay` milliseconds: move to another one before. */
  _drain(delay: number): void {
    this._replace(delay, false);
  }

  _connected(link: Link): void {
    this._last = link._index;
    this._cancelWarning?.();
    this._attempts = this._retryAfter = 0;
    if (!this._active) return this._use(link, false);
    this._cancelPrepare = this._settings._clock._after(PREPARE_TIMEOUT, () => {
      link._close();
      this._ended(link);
    });
    link._staged = [];
    this._handler._prepare(link, () => {
      if (link !== this._next) return;
      this._active?._close();
      this._use(link, true);
    });
  }

  _received(link: Link, message: Incoming): void {
    this._handler._process(link, message);
  }

  _ended(link: Link, ending: Ending = { _code: CloseCode.Abnormal, _reason: "" }): void {
    this._reason = ending._reason;
    this._retryAfter ||= ending._retryAfter ?? 0;
    if (link === this._next) this._nextEnded(link, ending);
    else if (link === this._active) this._activeEnded(link, ending);
  }

  private _use(link: Link, seamless: boolean): void {
    this._drop(link);
    this._active = link;
    this._set("open");
    if (this._active !== link) return; // a listener has disconnected
    this._handler._begin(link, seamless);
    if (link._index > 0) this._replace(this._settings._upgradeInterval, true);
  }

  private _activeEnded(link: Link, ending: Ending): void {
    this._active = undefined;
    if (this._refuses(ending, link._reported)) return;
    const staged = this._next;
    // The prepared link takes over at once. Its missing answers follow: the requests are sent.
    if (staged?._staged) return this._use(staged, false);
    this._drop();
    this._set(this._settings._reconnect ? "offline" : "closed");
    this._handler._interrupted?.(ending);
    if (this._state !== "offline") return;
    if (ending._code === CloseCode.Resume || ending._code === CloseCode.TokenExpired) return this._attempt();
    if (ending._code === CloseCode.PolicyViolation) this._attempts = Math.max(this._attempts, 3);
    this._retry();
  }

  private _nextEnded(link: Link, ending: Ending): void {
    this._cancelPrepare?.();
    this._next = undefined;
    if (!this._active && this._refuses(ending, link._reported)) return;
    if (this._order.length) return this._dial();
    if (this._active) this._replace(this._settings._upgradeInterval, this._active._index > 0);
    else this._retry();
  }

  /** Whether the server forbids a reconnect; `reported`: an error that it has sent before. */
  private _refuses({ _code, _reason, _refused }: Ending, reported?: RealtimeError): boolean {
    const unknown = _code === CloseCode.AuthenticationFailed;
    if (_code !== CloseCode.Disconnected && !unknown && !_refused) return false;
    const error =
      (_refused ?? (unknown && reported?.code === ErrorCode.AuthenticationFailed && reported)) ||
      new RealtimeError(
        unknown ? ErrorCode.AuthenticationFailed : ErrorCode.ConnectionFailed,
        `the server has ended this connection: ${_reason}`,
      );
    this._handler._interrupted?.({ _code, _reason });
    this._giveUp(error, !!reported);
    return true;
  }

  private _retry(): void {
    const { _delay, _maxDelay, _maxAttempts, _clock, _reconnect, _address } = this._settings;
    if (this._last === undefined) this._warn(this._reason);
    this._set("offline");
    if (this._attempts >= _maxAttempts || !_reconnect) {
      return this._giveUp(
        new RealtimeError(ErrorCode.ConnectionFailed, `cannot connect to ${_address._url}: ${this._reason}`),
      );
    }
    const delay = this._retryAfter * 1000 + fullJitter(this._attempts++, _delay, _maxDelay, _clock._random);
    this._retryAfter = 0;
    // Offline: `_reconnectNow` will be called. Without such an event, `onLine` is not false.
    if (globalThis.navigator?.onLine === false) this._cancelRetry = () => {};
    else {
      this._retryAt = _clock._now() + delay;
      this._cancelRetry = _clock._after(delay, () => this._attempt());
    }
  }

  private _giveUp(error: RealtimeError, reported = false): void {
    this._disconnect(error);
    this._handler._failed(error, reported);
  }

  /** Try to connect: as the last time; from the second attempt on, every other way too. */
  private _attempt(): void {
    this._drop();
    const last = this._last;
    this._order = last === undefined ? this._all() : this._attempts <= 1 ? [last] : this._all(last);
    this._dial();
  }

  /** After `delay`, open another link beside the one in use: only over a better transport, or over any. */
  private _replace(delay: number, better: boolean): void {
    this._cancelReplace?.();
    this._cancelReplace = this._settings._clock._after(delay, () => {
      const active = this._active;
      if (!active || this._next) return;
      this._order = better ? this._all().slice(0, active._index) : this._all(active._index);
      this._dial();
    });
  }

  /** All transports, by their places: `first` ones, then the others. */
  private _all(...first: number[]): number[] {
    return [...new Set([...first, ...this._settings._transports.keys()])];
  }

  private _dial(): void {
    this._next = new Link(this._order.shift()!, this._settings, this);
  }

  /** Stop everything that is under way besides the link in use. */
  private _drop(except?: Link): void {
    this._cancelRetry?.();
    this._cancelReplace?.();
    this._cancelPrepare?.();
    this._cancelRetry = this._cancelReplace = this._cancelPrepare = this._retryAt = undefined;
    if (this._next !== except) this._next?._close();
    this._next = undefined;
    this._order = [];
  }

  /** Once, if nothing was ever reached: the address is likely wrong. */
  private _warn(why: string): void {
    if (this._warned) return;
    this._warned = true;
    console.warn(`[bunbase] cannot reach ${this._settings._address._url} (${why}): set url`);
  }

  private _set(state: State): void {
    this._state = state;
    this._handler._stateChanged?.();
  }
}
