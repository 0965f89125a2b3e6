/**
 * Bunbase Realtime for browsers and Node: channels, presence, live queries. More for servers is in `@bunbase/sdk/server`, encryption
 * in `@bunbase/sdk/crypto`.
 *
 * @packageDocumentation
 */

import { Collection, type Database } from "./client/query.js";
import { connect, settingsFor } from "./client/options.js";
import { Rest } from "./client/rest.js";
import { SubscriptionManager } from "./connection/subscription_manager.js";
import { setDefaults, type Defaults } from "./client/settings.js";

export { Channel, type ChannelOptions } from "./client/channel.js";
export { CloseCode, ErrorCode } from "./protocol/codes.js";
export type { Encryption } from "./protocol/crypto.js";
export { RealtimeError } from "./protocol/errors.js";
export {
  Collection,
  LiveQuery,
  Query,
  type Database,
  type KeyValue,
  type Place,
  type QuerySubscription,
} from "./client/query.js";
export { messages, snapshots, type Messages, type MessagesOptions, type Snapshots } from "./client/iterators.js";
export { count, get, liveCount, pages, type Count, type Pages, type PagesSnapshot } from "./client/pages.js";
export type { RealtimeOptions } from "./client/client_options.js";
export { Realtime } from "./client/realtime.js";
export {
  type BroadcastOptions,
  type ConnectionInfo,
  type Rest,
  type RestChannel,
  type ServerOptions,
  type ServerUser,
} from "./client/rest.js";
export type { AnyMessage, HistoryPage, Seen, SendOptions, Sent, Trace } from "./client/typed_channel.js";
export type {
  At,
  Comparable,
  Condition,
  NameOf,
  Operand,
  Operator,
  OperatorFor,
  Selected,
} from "./client/typed_query.js";
export type { Defaults } from "./client/settings.js";
export { Doc, type Change, type Snapshot } from "./core/snapshot.js";
export type {
  Ack,
  ConnectionState,
  ConnectionStatus,
  Disconnection,
  Message,
  Presence,
  PresenceData,
  PresenceFields,
  Room,
  TransportName,
  Untyped,
  User,
} from "./protocol/types.js";

let manager: SubscriptionManager | undefined;
let unwatch: (() => void) | undefined;

function disconnect(): void {
  unwatch?.();
  manager?._disconnect();
}

/**
 * Set the address of the service for {@link db}, {@link realtime}, and every `new Realtime()` without one. The default is
 * `BUNBASE_REALTIME_URL` and `BUNBASE_REALTIME_KEY` in the environment, or the origin of the page.
 */
export function configure(given: Defaults): void {
  setDefaults(given);
  disconnect();
  manager = undefined;
}

function connected(): SubscriptionManager {
  if (!manager) {
    manager = new SubscriptionManager(settingsFor());
    manager._idle = disconnect;
  }
  unwatch?.();
  unwatch = connect(manager); // also if it had been given up
  return manager;
}

// Objects rather than instances: a bundler can leave out the one that is not used.

/**
 * Live queries over a connection of their own, which is open while one of them is followed. A bundle that uses only this has
 * nothing else of the package.
 */
export const db: Database = { collection: (name) => new Collection(connected, name) };

/** For servers: broadcast, look, and manage. Uses the REST API, so it needs no connection. More is in `@bunbase/sdk/server`. */
export const realtime: Pick<Rest, "channel" | "getConnections" | "disconnectUser"> = {
  channel: (name) => new Rest().channel(name),
  getConnections: (filter) => new Rest().getConnections(filter),
  disconnectUser: (userId) => new Rest().disconnectUser(userId),
};
