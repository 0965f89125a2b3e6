/** The REST API for servers, without a connection: requests that are repeated, and what is called most. */

import { ErrorCode } from "../protocol/codes.js";
import { problemOf } from "../protocol/problem.js";
import { RealtimeError } from "../protocol/errors.js";
import { requestPause } from "../core/backoff.js";
import { uuid } from "../core/ids.js";
import { mustBeObject, mustBeText } from "../protocol/expected.js";
import { stringify } from "../protocol/json.js";
import type { Caused } from "../transports/http.js";
import { checkValues, CONNECTIONS_FILTER, SEND_OPTIONS } from "./checks.js";
import { checkKey, defaults, endpoint } from "./settings.js";
import type { Presence, Untyped, User } from "../protocol/types.js";

/** How to broadcast. */
export interface BroadcastOptions {
  /** The same id in the same channel is stored and delivered once; one is made if you give none. */
  id?: string;
  /** The user it is from. */
  sender?: string;
  /** The subscribers that get it; all by default. */
  audience?: {
    users?: string[];
    connections?: string[];
    where?: unknown[];
    exclude?: { users?: string[]; connections?: string[]; sender?: boolean };
  };
  /** Higher is not queued behind lower under load. */
  priority?: number;
  /** The W3C trace context that the message continues; subscribers with `meta` get it. A `TypeError` if it is no header. */
  traceparent?: string;
  /** Of that context. */
  tracestate?: string;
}

/** A connected client. */
export interface ConnectionInfo {
  id: string;
  userId: string | null;
  [field: string]: Untyped;
}

/** A user in a channel, as servers see it. */
export interface ServerUser extends User {
  /** False: its connections have dropped, and it may still reconnect. */
  connected: boolean;
  /** The number of its connections there. */
  connections: number;
  /** ISO 8601. */
  joinedAt: string;
}

/** Where the REST API is, and the key to it. */
export interface ServerOptions {
  /** The server's address, such as `https://realtime.example.com`. */
  url?: string;
  /** The setting `rest_key` of the server. Never give it to browsers. */
  apiKey?: string;
  /** Milliseconds that one attempt may take. Default: 10,000. */
  timeout?: number;
}

/** A request. @internal */
export interface Call {
  _method?: string;
  _body?: object | undefined;
  /** Headers with the trace context. */
  _trace?: Record<string, string> | undefined;
  /** Twice would not be as good as once: it is not repeated once it may have reached the server. */
  _once?: boolean;
}

const RETRIES = 2;
const BUSY = [429, 502, 503, 504]; // the server, or a proxy, could not do it now

/** A channel, as a server uses it. */
export class RestChannel {
  /** @internal */
  constructor(
    protected _rest: Rest,
    /** The channel's name. */
    readonly name: string,
  ) {
    mustBeText("channel", name);
  }

  /** Publish a message. Returns when it is stored. */
  async broadcast(event: string, data?: unknown, options: BroadcastOptions = {}): Promise<{ id: string }> {
    mustBeText("event", event);
    mustBeObject("options", options);
    const { traceparent, tracestate, ...given } = options;
    const _body = { event, data: data ?? null, id: uuid(), ...given };
    const _trace = traceOf(options);
    const { id } = await this._call<{ id: string }>("/broadcast", { _method: "POST", _body, _trace });
    return { id };
  }

  /** End a user's subscriptions to the channel, on all servers. Returns how many of its connections were present. */
  async kick(userId: string, reason?: string): Promise<number> {
    mustBeText("userId", userId);
    const _body = { userId, ...(reason !== undefined && { reason }) };
    return (await this._call<{ connections: number }>("/kick", { _method: "POST", _body })).connections;
  }

  /** The users in the channel. */
  getPresence(): Promise<Presence & { users: ServerUser[] }> {
    return this._call("/presence");
  }

  /** @internal */
  _call<T>(path: string, call?: Call): Promise<T> {
    return this._rest._call(pathOf(this.name) + path, call);
  }
}

/** @internal */
export function pathOf(channel: string): string {
  mustBeText("channel", channel);
  return `/channels/${encodeURIComponent(channel)}`;
}

/** The headers of a trace context. @internal */
export function traceOf({ traceparent, tracestate }: BroadcastOptions): Record<string, string> {
  checkValues({ traceparent, tracestate }, SEND_OPTIONS);
  return { ...(traceparent && { traceparent }), ...(tracestate && { tracestate }) };
}

/** Some of the connections, and where the next ones begin. */
interface Page {
  connections: ConnectionInfo[];
  next: string | null;
}

/**
 * What servers call most. Everything that a server can do is in the class `RealtimeServer` of `@bunbase/sdk/server`. All methods
 * throw {@link RealtimeError}.
 */
export class Rest {
  constructor(private _options: ServerOptions = {}) {}

  /** A channel by its name. */
  channel(name: string): RestChannel {
    return new RestChannel(this, name);
  }

  /** The connected clients of all servers; `userId`: those of this user alone. A `TypeError` for what is no user's id. */
  async getConnections(filter: { userId?: string } = {}): Promise<ConnectionInfo[]> {
    checkValues(filter, CONNECTIONS_FILTER);
    const { userId } = filter;
    const found: ConnectionInfo[] = [];
    let after: string | null = null;
    do {
      const query = new URLSearchParams({ ...(userId && { userId }), limit: "1000", ...(after && { after }) });
      const page: Page = await this._call(`/connections?${query}`);
      found.push(...page.connections);
      after = page.next;
    } while (after);
    return found;
  }

  /** Close all connections of a user. Returns their number. */
  async disconnectUser(userId: string): Promise<number> {
    mustBeText("userId", userId);
    const query = new URLSearchParams({ userId });
    return (await this._call<{ count: number }>(`/connections?${query}`, { _method: "DELETE" })).count;
  }

  /** @internal */
  async _call<T>(path: string, { _method = "GET", _body, _trace, _once }: Call = {}): Promise<T> {
    const { url, apiKey, timeout = 10_000 } = { ...defaults(), ...this._options };
    checkKey(apiKey ?? ""); // it may be of the environment
    const headers = new Headers({
      ..._trace,
      ...(_body && { "Content-Type": "application/json" }),
      ...(apiKey && { Authorization: `Bearer ${apiKey}` }),
    });
    const { href } = endpoint(url);
    const init: RequestInit = { method: _method, headers, ...(_body && { body: stringify(_body) }) };
    for (let attempt = 0; ; attempt++) {
      let failed: RealtimeError;
      let again = true;
      let wait = 0;
      try {
        const response = await fetch(href + path, { ...init, signal: AbortSignal.timeout(timeout) });
        const text = await response.text();
        if (response.ok) return (text ? JSON.parse(text) : undefined) as T;
        const problem = problemOf(text, response);
        const { code = ErrorCode.ConnectionFailed, detail = `HTTP status ${response.status}` } = problem;
        failed = new RealtimeError(code, detail, problem);
        wait = (problem.retryAfter ?? 0) * 1000;
        again = BUSY.includes(response.status) && wait <= timeout;
      } catch (error) {
        const reason = String((error as Caused).cause?.code ?? error);
        failed = new RealtimeError(ErrorCode.ConnectionFailed, `the server cannot be reached at ${href}: ${reason}`);
      }
      if (_once || !again || attempt === RETRIES) throw failed;
      await new Promise((resolve) => setTimeout(resolve, wait + requestPause(attempt)));
    }
  }
}
