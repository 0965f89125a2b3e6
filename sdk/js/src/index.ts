/**
 * Bunbase Realtime for browsers and Node: channels, presence, live queries; and, for servers, broadcasting and management.
 *
 * @packageDocumentation
 */

import { Database } from "./client/query.js";
import { Realtime } from "./client/realtime.js";
import { RealtimeServer } from "./client/rest.js";
import { setDefaults, type Defaults } from "./client/settings.js";

export { Channel, type ChannelOptions } from "./client/channel.js";
export { CloseCode, ErrorCode } from "./protocol/codes.js";
export type { Encryption } from "./protocol/crypto.js";
export { RealtimeError } from "./protocol/errors.js";
export {
  Collection,
  Database,
  LiveQuery,
  Query,
  type Condition,
  type Operator,
  type QuerySubscription,
} from "./client/query.js";
export { Realtime, type RealtimeOptions } from "./client/realtime.js";
export {
  RealtimeServer,
  ServerChannel,
  type BroadcastOptions,
  type ConnectionInfo,
  type ServerOptions,
  type ServerUser,
} from "./client/rest.js";
export type { Defaults } from "./client/settings.js";
export { Doc, type Change, type Snapshot } from "./core/snapshot.js";
export type {
  Ack,
  ConnectionState,
  Disconnection,
  Message,
  Presence,
  PresenceData,
  Room,
  TransportName,
  Untyped,
  User,
} from "./protocol/types.js";

let client: Realtime | undefined;

/**
 * Set the address of the service for {@link db}, {@link realtime}, and every `new Realtime()` without one. The default is
 * `BUNBASE_REALTIME_URL` and `BUNBASE_REALTIME_KEY` in the environment, or the origin of the page.
 */
export function configure(given: Defaults): void {
  setDefaults(given);
  client?.disconnect();
  client = undefined;
}

/** Live queries over a client of their own, which is connected while one of them is followed. */
export const db: Database = /* @__PURE__ */ new Database(() => {
  if (!client) {
    const made = (client = new Realtime());
    made._manager._idle = () => made.disconnect();
  }
  client.connect(); // also if it had been given up
  return client._manager;
});

/** For servers: broadcast, look, and manage. Uses the REST API, so it needs no connection. */
export const realtime: RealtimeServer = /* @__PURE__ */ new RealtimeServer();
