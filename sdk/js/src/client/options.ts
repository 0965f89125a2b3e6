/** The options of a client, and what the connection makes of them. */

import { systemClock, type Clock } from "../connection/clock.js";
import type { ConnectionSettings } from "../connection/connection_manager.js";
import type { SubscriptionManager } from "../connection/subscription_manager.js";
import { randomHex } from "../core/ids.js";
import type { TransportName, Untyped } from "../protocol/types.js";
import { polling } from "../transports/polling.js";
import { sse } from "../transports/sse.js";
import type { Address, Transport } from "../transports/transport.js";
import { websocket } from "../transports/websocket.js";
import { defaults, endpoint } from "./settings.js";

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

/** The transports that can be used here, of those that are wanted. @internal */
export function transportsOf({ transports, WebSocket = globalThis.WebSocket }: RealtimeOptions): TransportName[] {
  const names = transports ?? ["websocket", "sse", "polling"];
  const usable = names.filter((name) => name !== "websocket" || WebSocket);
  if (!usable.length) throw new TypeError("none of the transports can be used here");
  return usable;
}

/** The settings of the connection. `packer`: MessagePack, for those who may want it. @internal */
export function settingsOf(
  options: RealtimeOptions & Internals,
  names: TransportName[],
  packer?: Address["_packer"],
): ConnectionSettings {
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
      _packer: packer,
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

/** Connect, and follow what the browser reports of the network; the result ends that. @internal */
export function connect({ _connection }: SubscriptionManager): () => void {
  _connection._connect();
  return watchBrowser(
    () => _connection._reconnectNow(),
    () => _connection._sleep(),
  );
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
