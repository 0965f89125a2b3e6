/** How a connection is made without any options, and begun. */

import { systemClock } from "../connection/clock.js";
import type { ConnectionSettings } from "../connection/connection_manager.js";
import type { SubscriptionManager } from "../connection/subscription_manager.js";
import { randomHex } from "../core/ids.js";
import type { TransportName } from "../protocol/types.js";
import { polling } from "../transports/polling.js";
import { sse } from "../transports/sse.js";
import type { Transport } from "../transports/transport.js";
import { websocket } from "../transports/websocket.js";
import { defaults, endpoint } from "./settings.js";

const TRANSPORTS: Record<TransportName, Transport> = { websocket, sse, polling };

/** Without a WebSocket, the other two are used. @internal */
export const usable = (names: TransportName[], WebSocket: unknown): TransportName[] =>
  names.filter((name) => name !== "websocket" || WebSocket);

/** @internal */
export const ALL: TransportName[] = ["websocket", "sse", "polling"];

/** The settings of a connection over these transports. @internal */
export function settingsFor(
  names = usable(ALL, globalThis.WebSocket),
  url = defaults().url,
  apiKey = defaults().apiKey,
): ConnectionSettings {
  const { origin, pathname, searchParams: query } = endpoint(url);
  query.set("client", randomHex(16));
  query.set("delta", "on");
  // A secret key, which configure() may hold for the REST API, does not belong in an address.
  if (apiKey?.startsWith("pk_")) query.set("apikey", apiKey);
  return {
    _transports: names.map((name) => TRANSPORTS[name]),
    _address: {
      _url: origin + pathname,
      _query: `${query}`,
      _WebSocket: globalThis.WebSocket,
      _fetch: (...given) => fetch(...given),
    },
    // Only the address of the page may be one without this server.
    _guessed: url === globalThis.location?.origin,
    _reconnect: true,
    _delay: 1000,
    _maxDelay: 30_000,
    _maxAttempts: Infinity,
    _connectTimeout: 10_000,
    _interval: 25_000,
    _timeout: 10_000,
    _upgradeInterval: 30_000,
    _clock: systemClock,
  };
}

/**
 * Connect, and follow what the browser reports of the network: whether it is down, or back, and that the page became visible. The result
 * ends that. @internal
 */
export function connect({ _connection }: SubscriptionManager): () => void {
  _connection._connect();
  const wake = (): void => _connection._reconnectNow();
  // Node has none of it, workers have no document.
  const over = new AbortController();
  const watch = (where: EventTarget | undefined, event: string, listener: () => void): void =>
    where?.addEventListener?.(event, listener, over);
  watch(globalThis, "online", wake);
  watch(globalThis, "offline", () => _connection._sleep());
  watch(globalThis.document, "visibilitychange", () => {
    if (document.visibilityState === "visible") wake();
  });
  return () => over.abort();
}
