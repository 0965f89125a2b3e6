/** The whole REST API for servers: messages, presence, history, users, connections and rooms. */

import { uuid } from "../core/ids.js";
import type { Encryption } from "../protocol/crypto.js";
import type { Untyped } from "../protocol/types.js";
import { mustBeObject, mustBeText } from "../protocol/expected.js";
import { checkValues, type Rule } from "./checks.js";
import { mustTime, onlyKnown } from "./known.js";
import { pathOf, Rest, RestChannel, traceOf, type BroadcastOptions, type ServerOptions } from "./rest.js";
import { checkKey, checkUrl } from "./settings.js";
import type { HistoryPage } from "./typed_channel.js";

/** A room: a channel with settings of its own. `null` for a limit: there is none. Durations are seconds. */
export interface ServerRoom {
  name: string;
  metadata: Record<string, Untyped>;
  capacity: number | null;
  history: boolean;
  ttl: number | null;
  maxMessages: number | null;
  presenceTimeout: number;
  typingTimeout: number;
  createdBy: string | null;
  /** ISO 8601. */
  createdAt: string;
  /** ISO 8601; null while it is open. */
  closedAt: string | null;
}

/** The settings of a room that can be given; omitted ones stay, or are the server's defaults. */
export type RoomSettings = Partial<Omit<ServerRoom, "name" | "createdAt" | "closedAt">>;

const HISTORY_PAGE = (): Rule[] => [
  ["before", "a position", (value) => value === null || (!!value && typeof value === "string")],
  ["limit", "a whole number", Number.isInteger],
];

/** @deprecated Use {@link HistoryPage}. */
export type History = HistoryPage;

/** To whom {@link RealtimeServer.broadcast} sends: all connections, those of `users`, or several `channels`. */
export interface WideBroadcastOptions extends Pick<
  BroadcastOptions,
  "sender" | "audience" | "traceparent" | "tracestate"
> {
  users?: string[];
  channels?: string[];
}

/** A channel, as a server uses it. Made by {@link RealtimeServer.channel}. */
export class ServerChannel extends RestChannel {
  /** @internal */
  constructor(
    rest: Rest,
    name: string,
    private _encryption: Encryption | undefined,
  ) {
    super(rest, name);
  }

  /** Publish a message, encrypted if the channel was made with an `encryption`. Returns when it is stored. */
  override async broadcast(event: string, data?: unknown, options: BroadcastOptions = {}): Promise<{ id: string }> {
    mustBeObject("options", options);
    const sealed = await this._encryption?._sealer(this.name)._seal(event, data);
    return super.broadcast(event, sealed ?? data, { id: uuid(), ...options });
  }

  /** The latest messages, or those before a position, such as the `before` of the last page. `limit` is at most 1000; default: 50. */
  history(page: { before?: string | null; limit?: number } = {}): Promise<HistoryPage> {
    checkValues(page, HISTORY_PAGE);
    const { before, limit = 50 } = page;
    const query = new URLSearchParams({ limit: `${limit}`, ...(before && { before }) });
    return this._call(`/messages?${query}`);
  }
}

/** The service, as a server of yours uses it. All methods throw {@link RealtimeError}. */
export class RealtimeServer extends Rest {
  /** A `TypeError` for an unknown option, and for a wrong value. */
  constructor(options: ServerOptions = {}) {
    super(options);
    mustBeObject("options", options);
    const { url, apiKey, timeout, ...unknown } = options;
    onlyKnown(unknown);
    if (apiKey !== undefined) checkKey(apiKey);
    if (timeout !== undefined) mustTime(timeout);
    checkUrl(url);
  }

  /** A channel by its name. `encryption`: what is published there is encrypted. */
  override channel(name: string, options: { encryption?: Encryption } = {}): ServerChannel {
    mustBeObject("options", options);
    const { encryption, ...unknown } = options;
    onlyKnown(unknown);
    return new ServerChannel(this, name, encryption);
  }

  /**
   * Send to all connections, to all connections of `users`, or to several `channels`. Not repeated by itself once the server may
   * have received it.
   */
  async broadcast(event: string, data?: unknown, options: WideBroadcastOptions = {}): Promise<void> {
    mustBeText("event", event);
    mustBeObject("options", options);
    const { traceparent, tracestate, ...given } = options;
    const _body = { event, data: data ?? null, ...given };
    await this._call("/broadcast", { _method: "POST", _body, _trace: traceOf(options), _once: true });
  }

  /** Close a connection. Its client does not reconnect by itself. */
  async disconnect(connectionId: string): Promise<void> {
    mustBeText("connectionId", connectionId);
    await this._call(`/connections/${encodeURIComponent(connectionId)}`, { _method: "DELETE", _once: true });
  }

  /** Make a room. */
  createRoom(name: string, settings: RoomSettings = {}): Promise<ServerRoom> {
    mustBeText("channel", name);
    mustBeObject("settings", settings);
    return this._call("/channels", { _method: "POST", _body: { name, ...settings }, _once: true });
  }

  /** A room's settings. */
  getRoom(name: string): Promise<ServerRoom> {
    return this._call(pathOf(name));
  }

  /** Change settings; omitted ones stay, `null` removes a limit. */
  updateRoom(name: string, settings: RoomSettings): Promise<ServerRoom> {
    mustBeObject("settings", settings);
    return this._call(pathOf(name), { _method: "PATCH", _body: settings });
  }

  /** Close the room: later subscriptions and messages are rejected. */
  async closeRoom(name: string): Promise<void> {
    await this._call(pathOf(name), { _method: "DELETE", _once: true });
  }
}
