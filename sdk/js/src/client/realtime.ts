/** The client: its options, its events, and its channels and queries. */

import { Channel, type ChannelOptions } from "./channel.js";
import { systemClock, type Clock } from "../connection/clock.js";
import type { ConnectionSettings } from "../connection/connection_manager.js";
import { Emitter } from "../core/emitter.js";
import type { RealtimeError } from "../protocol/errors.js";
import { randomHex } from "../core/ids.js";
import { Database } from "./query.js";
import { SubscriptionManager } from "../connection/subscription_manager.js";
import { defaults, endpoint } from "./settings.js";
import { polling } from "../transports/polling.js";
import { sse } from "../transports/sse.js";
import type { Transport } from "../transports/transport.js";
import { websocket } from "../transports/websocket.js";
import type { ConnectionState, Disconnection, Message, TransportName, Untyped } from "../protocol/types.js";

/** Options of a client. Times are in milliseconds. */
export interface RealtimeOptions {
  /** The server's address. Default: `configure()`, `BUNBASE_REALTIME_URL`, or the origin of the page. */
  url?: string;
  /** The application's publishable key. Another one is not sent. */
  apiKey?: string;
  /** The user's token, if it lasts as long as the client; else `getToken`. */
  token?: string;
  /**
   * Returns the user's token. Called for each connection, also after a sleep or a loss, and before a token expires: no connection is
   * opened with a stale one. If it fails, it is called again later.
   */
  getToken?: () => string | Promise<string>;
  /** Connect at once. Default: true. */
  autoConnect?: boolean;
  /** Connect again when the connection is lost. Default: true. */
  reconnect?: boolean;
  /** Upper bound of the random wait before the first new attempt; doubled with each further one. Default: 1000. */
  reconnectDelay?: number;
  /** The longest pause between attempts. Default: 30,000. */
  maxReconnectDelay?: number;
  /** After so many failures in a row it is given up; `Infinity` is possible. Default: 10. */
  maxReconnectAttempts?: number;
  /** The transports to try, best first. Default: all three. */
  transports?: TransportName[];
  /** How long a transport may take to connect. Default: 10,000. */
  connectTimeout?: number;
  /** Silence after which the client sends a ping. Default: 25,000. */
  heartbeatInterval?: number;
  /** How long it may take to answer that. Default: 10,000. */
  heartbeatTimeout?: number;
  /** How often a better transport is tried while on another. Default: 30,000. */
  upgradeInterval?: number;
  /** The number of messages that may wait while there is no connection. Default: 1000. */
  queueLimit?: number;
  /** `msgpack` saves bytes over WebSockets. Default: `json`. */
  format?: "json" | "msgpack";
  /** For platforms without one (Node before 22): the class of the package `ws`. Without one, server-sent events are used. */
  WebSocket?: new (url: string, protocols?: string[]) => Untyped;
  /** Instead of the global one. */
  fetch?: typeof fetch;
  /** The user id; trusted by development servers only. */
  user?: string;
  /** The user's metadata; trusted by development servers only. */
  attributes?: Record<string, string | number | boolean | null>;
}

/** For tests. @internal */
export interface Internals {
  _clock?: Clock;
  _transports?: Transport[];
}

const TRANSPORTS: Record<TransportName, Transport> = { websocket, sse, polling };

/**
 * A client with one connection, which all its channels and live queries share.
 *
 * ```ts
 * const realtime = new Realtime({ apiKey: "your-api-key" });
 * const channel = realtime.channel("chat:room-123", { presence: true });
 * await channel.subscribe();
 * channel.on("new-message", (message) => console.log(message.data));
 * await channel.send("new-message", { text: "Hello!" });
 * ```
 */
export class Realtime {
  private _events = new Emitter();
  /** @internal */
  readonly _manager: SubscriptionManager;
  private _channels = new Map<string, Channel>();
  private _names: TransportName[];
  private _unwatch: (() => void) | undefined;

  constructor(options: RealtimeOptions = {}) {
    const usable = (options.WebSocket ?? globalThis.WebSocket) !== undefined;
    const names = options.transports ?? ["websocket", "sse", "polling"];
    this._names = names.filter((name) => name !== "websocket" || usable);
    if (!this._names.length) throw new TypeError("none of the transports can be used here");
    this._manager = new SubscriptionManager(settingsOf(options, this._names), options.queueLimit ?? 1000, this._events);
    if (options.autoConnect !== false) this.connect();
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this._manager._connection._state;
  }

  /** How the connection is carried; undefined without one. */
  get transport(): TransportName | undefined {
    const link = this._manager._connection._active;
    return link && this._names[link._index];
  }

  /** The server's name for this connection; undefined without one. */
  get connectionId(): string | undefined {
    return this._manager._connection._active?._hello!.connectionId;
  }

  /** Connect, if it is not. */
  connect(): void {
    const connection = this._manager._connection;
    this._unwatch ??= watchBrowser(
      () => connection._reconnectNow(),
      () => connection._sleep(),
    );
    connection._connect();
  }

  /**
   * Close the connection; other clients see this one leave at once. {@link connect} restores the subscriptions; waiting messages, and calls of `subscribe()` that have not
   * been answered yet, are refused with `RT_001`.
   */
  disconnect(): void {
    this._unwatch?.();
    this._unwatch = undefined;
    this._manager._disconnect();
  }

  /** Connected, also again. */
  on(event: "connected", listener: () => void): () => void;
  /** The connection is lost, or was closed. */
  on(event: "disconnected", listener: (how: Disconnection) => void): () => void;
  /** The connection failed for good (`RT_001`), or an error that concerns no channel. */
  on(event: "error", listener: (error: RealtimeError) => void): () => void;
  /** The state has changed. */
  on(event: "state", listener: (state: ConnectionState) => void): () => void;
  /** Another connection is in use, perhaps over another transport. */
  on(event: "transport", listener: () => void): () => void;
  /** A message to this connection or user rather than to a channel. */
  on(event: "message", listener: (message: Message) => void): () => void;
  on(event: string, listener: (value: Untyped) => void): () => void {
    return this._events._add(event, listener);
  }

  /** Take a listener away; without one, all listeners of the event. */
  off(event: string, listener?: (value: Untyped) => void): void {
    this._events._remove(event, listener);
  }

  /** A channel by its name. The same name gives the same object; options hold from the next `subscribe()`. */
  channel(name: string, options: ChannelOptions = {}): Channel {
    let channel = this._channels.get(name);
    if (channel) channel._configure(options);
    else this._channels.set(name, (channel = new Channel(name, this._manager, { ...options })));
    return channel;
  }

  /** Live queries. */
  database(): Database {
    return new Database(() => this._manager);
  }
}

function settingsOf(options: RealtimeOptions & Internals, names: TransportName[]): ConnectionSettings {
  const { url, apiKey } = { ...defaults(), ...options };
  const { origin, pathname, searchParams: query } = endpoint(url);
  query.set("client", randomHex(16));
  // A secret key, which configure() may hold for the REST API, does not belong in an address.
  if (apiKey?.startsWith("pk_")) query.set("apikey", apiKey);
  if (options.user !== undefined) query.set("user", options.user);
  if (options.attributes) query.set("attributes", JSON.stringify(options.attributes));
  return {
    _transports: options._transports ?? names.map((name) => TRANSPORTS[name]),
    _address: {
      _url: origin + pathname,
      _query: query.toString(),
      _packed: options.format === "msgpack",
      _WebSocket: options.WebSocket ?? globalThis.WebSocket,
      _token: tokenSource(options),
      _fetch: options.fetch ?? ((...given) => fetch(...given)),
    },
    _reconnect: options.reconnect ?? true,
    _delay: options.reconnectDelay ?? 1000,
    _maxDelay: options.maxReconnectDelay ?? 30_000,
    _maxAttempts: options.maxReconnectAttempts ?? 10,
    _connectTimeout: options.connectTimeout ?? 10_000,
    _interval: options.heartbeatInterval ?? 25_000,
    _timeout: options.heartbeatTimeout ?? 10_000,
    _upgradeInterval: options.upgradeInterval ?? 30_000,
    _clock: options._clock ?? systemClock,
  };
}

function tokenSource({ token, getToken }: RealtimeOptions): (() => Promise<string>) | undefined {
  const get = token === undefined ? getToken : (): string => token;
  if (!get) return undefined;
  return async () => {
    let given;
    try {
      given = await get();
    } catch (error) {
      throw new Error(`getToken failed: ${error instanceof Error ? error.name : typeof error}`, { cause: error });
    }
    if (typeof given === "string" && given) return given;
    throw new Error(`getToken returned ${typeof given}, not a token`);
  };
}

/** Call `sleep` when the network goes down, and `wake` when it is back or the page becomes visible. */
function watchBrowser(wake: () => void, sleep: () => void): () => void {
  const looked = (): void => {
    if (document.visibilityState === "visible") wake();
  };
  // Node has none of it, workers have no document.
  const watched: [EventTarget | undefined, string, () => void][] = [
    [globalThis, "online", wake],
    [globalThis, "offline", sleep],
    [globalThis.document, "visibilitychange", looked],
  ];
  for (const [where, event, listener] of watched) where?.addEventListener?.(event, listener);
  return () => {
    for (const [where, event, listener] of watched) where?.removeEventListener?.(event, listener);
  };
}
