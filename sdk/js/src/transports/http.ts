/** The common part of server-sent events and long polling: requests, their failures, and sending by `POST`. */

import { requestPause } from "../core/backoff.js";
import { CloseCode, ErrorCode } from "../protocol/codes.js";
import { problemOf } from "../protocol/problem.js";
import { RealtimeError } from "../protocol/errors.js";
import type { ServerMessage } from "../protocol/wire.js";
import type { Address, Carrier, Events } from "./transport.js";

/** No answer, or one that is not a success. */
interface Failure extends Error {
  /** The HTTP status; undefined: there was no answer. */
  _status?: number;
  _refused?: RealtimeError | undefined;
  _retryAfter?: number | undefined;
}

/** What `fetch` of Node throws is "fetch failed"; why, such as `ECONNREFUSED`, is in the cause. @internal */
export interface Caused extends Error {
  cause?: { code?: string };
}

/** Fetch; throws a `Failure` unless the answer is a success. @internal */
export async function request(address: Address, url: string, init: RequestInit): Promise<Response> {
  const response = await address._fetch(url, { cache: "no-store", ...init }).catch((error: Caused) => {
    throw new Error(String(error.cause?.code ?? error));
  });
  const { ok, status } = response;
  if (ok && status !== 204) return response;
  const text = await response.text().catch(String); // the connection broke meanwhile: the status is sufficient
  const { code, detail: reason = `HTTP status ${status}`, retryAfter } = problemOf(text, response);
  // Only the server itself answers with a code; a proxy's error page is no reason to stop trying.
  const final = status === 204 || (code && (status === 401 || status === 403));
  const _refused = final ? new RealtimeError(code ?? ErrorCode.ConnectionFailed, reason) : undefined;
  throw Object.assign(new Error(reason), { _status: status, _refused, _retryAfter: retryAfter });
}

/** The header that carries the token of a connection. @internal */
export async function authorization({ _token }: Address): Promise<Record<string, string>> {
  return _token ? { Authorization: `Bearer ${await _token()}` } : {};
}

/** Call `run` after `ms` milliseconds, and when the signal is aborted; the result takes back both. @internal */
export function within(ms: number, signal: AbortSignal, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  signal.addEventListener("abort", run);
  return () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", run);
  };
}

/** Wait `ms` milliseconds, or until the signal. @internal */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const cancel = within(ms, signal, () => resolve(cancel()));
  });

const MAX_BYTES = 900_000; // of one batch; the server takes 1 MiB

/** Repeat `once` if there was no answer, or the server failed: three times, then throw. At once if it asks to wait. @internal */
export async function insist<T>(once: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await once();
    } catch (error) {
      const { _status, _retryAfter } = error as Failure;
      if (signal.aborted || attempt > 2 || _retryAfter || (_status && _status < 500 && _status !== 429)) throw error;
      await pause(requestPause(attempt), signal);
    }
  }
}

/** One session: the end of its connection, and sending in order. What is added during a request is sent with the next one. @internal */
export class Session {
  /** Its secret: set by the first answer of the server. */
  _secret = "";
  private _abort = new AbortController();
  /** Aborted when the connection has ended. */
  readonly _signal = this._abort.signal;
  private _waiting: string[] = [];
  private _busy = false;
  private _seq = 0;

  constructor(
    private _address: Address,
    private _events: Events,
  ) {}

  /** Receive by `run`, whose failure ends the connection. */
  _carrier(run: () => Promise<void>): Carrier {
    void Promise.resolve()
      .then(run)
      .catch((error: unknown) => this._failed(error));
    return {
      _send: (text) => this._send(text),
      _close: (leave) => {
        const stop = (): void => this._abort.abort();
        // A stream that ended first would be one that broke.
        if (leave && this._secret) void this._leave().then(stop, stop);
        else stop();
      },
    };
  }

  _message(message: ServerMessage): void {
    if (message.type !== "close") return this._events._message(message);
    this._abort.abort();
    this._events._closed(message.code, message.reason);
  }

  private _failed(error: unknown): void {
    if (this._signal.aborted) return;
    this._abort.abort();
    const { message = String(error), _refused, _retryAfter } = error as Partial<Failure>;
    this._events._closed(CloseCode.Abnormal, message, _refused, _retryAfter);
  }

  private _send(text: string): void {
    this._waiting.push(text);
    if (!this._busy) void this._drain().catch((error: unknown) => this._failed(error));
  }

  /** End the session, so that other clients see this one leave at once. Optional: without it the session ends by its timeout. */
  private _leave(): Promise<unknown> {
    const body = JSON.stringify({ session: this._secret });
    const init = { method: "DELETE", body, keepalive: true, signal: AbortSignal.timeout(2000) };
    return request(this._address, `${this._address._url}/session`, init);
  }

  private async _drain(): Promise<void> {
    this._busy = true;
    while (this._waiting.length && !this._signal.aborted) {
      let size = 0;
      const most = this._waiting.findIndex((text, index) => (size += text.length * 3) > MAX_BYTES && index > 0);
      const batch = this._waiting.splice(0, most < 0 ? Infinity : most);
      // As text/plain, which needs no CORS preflight. The number makes repeating it harmless.
      const body = `{"session":${JSON.stringify(this._secret)},"seq":${++this._seq},"messages":[${batch.join(",")}]}`;
      const init = { method: "POST", body, signal: this._signal };
      await insist(() => request(this._address, `${this._address._url}/send`, init), this._signal);
    }
    this._busy = false;
  }
}
