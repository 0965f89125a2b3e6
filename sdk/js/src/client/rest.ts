/** For servers: publish, look and manage over the REST API, without a connection. */

import { ErrorCode } from "../protocol/codes.js";
import { problemOf } from "../protocol/problem.js";
import { RealtimeError } from "../protocol/errors.js";
import { requestPause } from "../core/backoff.js";
import { uuid } from "../core/ids.js";
import { stringify } from "../protocol/json.js";
import { defaults, endpoint } from "./settings.js";
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
}

const RETRIES = 2;

/** A channel, as a server uses it. */
export class ServerChannel {
  /** @internal */
  constructor(
    private _server: RealtimeServer,
    /** The channel's name. */
    readonly name: string,
  ) {}

  /** Publish a message. Returns when it is stored. */
  async broadcast(event: string, data?: unknown, options: BroadcastOptions = {}): Promise<{ id: string }> {
    const { traceparent, tracestate, ...given } = options;
    const body = { event, data: data ?? null, id: uuid(), ...given };
    const { id } = await this._call<{ id: string }>("POST", "/broadcast", body, {
      ...(traceparent && { traceparent }),
      ...(tracestate && { tracestate }),
    });
    return { id };
  }

  /** End a user's subscriptions to the channel, on all servers. Returns how many of its connections were present. */
  async kick(userId: string, reason?: string): Promise<number> {
    const body = { userId, ...(reason !== undefined && { reason }) };
    return (await this._call<{ connections: number }>("POST", "/kick", body)).connections;
  }

  /** The users in the channel. */
  getPresence(): Promise<Presence & { users: ServerUser[] }> {
    return this._call("GET", "/presence");
  }

  private _call<T>(method: string, path: string, body?: object, trace?: Record<string, string>): Promise<T> {
    return this._server._call(method, `/channels/${encodeURIComponent(this.name)}${path}`, body, trace);
  }
}

/** Some of the connections, and where the next ones begin. */
interface Page {
  connections: ConnectionInfo[];
  next: string | null;
}

/** The service, as a server of yours uses it. All methods throw {@link RealtimeError}. */
export class RealtimeServer {
  constructor(private _options: ServerOptions = {}) {}

  /** A channel by its name. */
  channel(name: string): ServerChannel {
    return new ServerChannel(this, name);
  }

  /** The connected clients of all servers. */
  async getConnections(filter: { userId?: string } = {}): Promise<ConnectionInfo[]> {
    const found: ConnectionInfo[] = [];
    let after: string | null = null;
    do {
      const query = new URLSearchParams({ ...filter, limit: "1000", ...(after && { after }) });
      const page: Page = await this._call("GET", `/connections?${query}`);
      found.push(...page.connections);
      after = page.next;
    } while (after);
    return found;
  }

  /** Close a connection. Its client does not reconnect by itself. */
  async disconnect(connectionId: string): Promise<void> {
    await this._call("DELETE", `/connections/${encodeURIComponent(connectionId)}`);
  }

  /** Close all connections of a user. Returns their number. */
  async disconnectUser(userId: string): Promise<number> {
    const query = new URLSearchParams({ userId });
    return (await this._call<{ count: number }>("DELETE", `/connections?${query}`)).count;
  }

  /** Everything here can be repeated without harm, so it is when the server cannot be reached. @internal */
  async _call<T>(method: string, path: string, body?: object, trace?: Record<string, string>): Promise<T> {
    const { url, apiKey } = { ...defaults(), ...this._options };
    const headers = new Headers({
      ...trace,
      ...(body && { "Content-Type": "application/json" }),
      ...(apiKey && { Authorization: `Bearer ${apiKey}` }),
    });
    const { origin, pathname } = endpoint(url);
    const init: RequestInit = { method, headers, ...(body && { body: stringify(body) }) };
    for (let attempt = 0; ; attempt++) {
      const last = attempt === RETRIES;
      try {
        const response = await fetch(origin + pathname + path, init);
        if (last || response.status < 500) return await read(response);
      } catch (error) {
        if (error instanceof RealtimeError) throw error;
        if (last) throw new RealtimeError(ErrorCode.ConnectionFailed, `the server cannot be reached: ${String(error)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, requestPause(attempt)));
    }
  }
}

async function read<T>(response: Response): Promise<T> {
  const text = await response.text();
  if (response.ok) return (text ? JSON.parse(text) : undefined) as T;
  const { code = ErrorCode.ConnectionFailed, detail = `HTTP status ${response.status}` } = problemOf(text);
  throw new RealtimeError(code, detail);
}
