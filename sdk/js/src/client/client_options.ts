/** The options of a client, and what the connection makes of them. */

import type { Clock } from "../connection/clock.js";
import type { ConnectionSettings } from "../connection/connection_manager.js";
import type { TransportName, Untyped } from "../protocol/types.js";
import type { Address, Transport } from "../transports/transport.js";
import { checkValues, CLIENT_OPTIONS } from "./checks.js";
import { ALL, settingsFor, usable } from "./options.js";
import { checkUrl } from "./settings.js";

/** Options of a client. Times are in milliseconds. */
export interface RealtimeOptions {
  /** The server's address. Default: `configure()`, `BUNBASE_REALTIME_URL`, or the origin of the page. */
  url?: string;
  /** The application's publishable key, `pk_…`. Another one is not sent, which is logged by `console.warn`. */
  apiKey?: string;
  /** The user's token, if it lasts as long as the client; else `getToken`. */
  token?: string;
  /**
   * Returns the user's token. Called for each connection, also after a sleep or a loss, and before a token expires: no connection is
   * opened with a stale one. If it fails, it is called again later.
   */
  getToken?: () => string | Promise<string>;
  /** Connect at once, and after `disconnect()` at the next call that needs a connection; else calls wait for `connect()`. Default: true. */
  autoConnect?: boolean;
  /** Connect again when the connection is lost. Default: true. */
  reconnect?: boolean;
  /** Upper bound of the random wait before the first new attempt; doubled with each further one. Default: 1000. */
  reconnectDelay?: number;
  /** The longest pause between attempts. Default: 30,000. */
  maxReconnectDelay?: number;
  /** After so many failures in a row it is given up. Default: `Infinity`, never. */
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

/** Loaded by those who want it: bundlers make it a file of its own. */
const msgpack: Address["_packer"] = () => import("../protocol/msgpack.js");

/** What a client is made of. @internal */
export interface ClientSettings {
  /** The transports that can be used here, of those that are wanted. */
  _names: TransportName[];
  _connection: ConnectionSettings;
  _queueLimit: number;
  _autoConnect: boolean;
}

/** A `TypeError` for an option that there is not, and for a wrong value. @internal */
export function settingsOf(options: RealtimeOptions, internals?: Internals): ClientSettings {
  checkValues(options, CLIENT_OPTIONS);
  const { url, apiKey, token, getToken, transports = ALL, user, attributes } = options;
  const { WebSocket = globalThis.WebSocket, fetch } = options;
  checkUrl(url);
  if (apiKey?.startsWith("pk_") === false) console.warn("[bunbase] apiKey: only a publishable key (pk_) is sent");
  if (token !== undefined && getToken) throw new TypeError("token: not with getToken");
  const names = usable(transports, WebSocket);
  if (!names.length) throw new TypeError("transports: none can be used here");
  const settings = settingsFor(names, url, apiKey);
  const address = settings._address;
  const query = new URLSearchParams(address._query);
  if (user !== undefined) query.set("user", user);
  if (attributes) query.set("attributes", JSON.stringify(attributes));
  return {
    _names: names,
    _queueLimit: options.queueLimit ?? 1000,
    _autoConnect: options.autoConnect ?? true,
    _connection: {
      ...settings,
      _address: {
        ...address,
        _query: `${query}`,
        _packer: options.format === "msgpack" ? msgpack : undefined,
        _WebSocket: WebSocket,
        _token: tokenSource(token, getToken),
        _fetch: fetch ?? address._fetch,
      },
      _reconnect: options.reconnect ?? settings._reconnect,
      _delay: options.reconnectDelay ?? settings._delay,
      _maxDelay: options.maxReconnectDelay ?? settings._maxDelay,
      _maxAttempts: options.maxReconnectAttempts ?? settings._maxAttempts,
      _connectTimeout: options.connectTimeout ?? settings._connectTimeout,
      _interval: options.heartbeatInterval ?? settings._interval,
      _timeout: options.heartbeatTimeout ?? settings._timeout,
      _upgradeInterval: options.upgradeInterval ?? settings._upgradeInterval,
      ...internals,
    },
  };
}

function tokenSource(
  token: RealtimeOptions["token"],
  getToken: RealtimeOptions["getToken"],
): (() => Promise<string>) | undefined {
  const get = token === undefined ? getToken : (): string => token;
  if (!get) return undefined;
  return async () => {
    let given;
    try {
      given = await get();
    } catch (error) {
      throw new Error(`getToken failed: ${(error as Partial<Error> | null)?.name ?? typeof error}`, { cause: error });
    }
    if (typeof given === "string" && given) return given;
    throw new Error(`getToken returned ${typeof given}, not a token`);
  };
}
