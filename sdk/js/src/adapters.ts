/**
 * For adapters to frameworks: live queries, channels, presence and the connection as stores, that is a value and a function that
 * follows it. Stores of equal queries, or of one channel, share one subscription; it ends a second after the last is left. The
 * packages for React, Vue and Svelte are made of this.
 *
 * @packageDocumentation
 */

export {
  channelStore,
  listen,
  ownPresence,
  presenceStore,
  type ChannelState,
  type Listeners,
  type PresenceState,
} from "./adapters/channel.js";
export { pagesStore, queryStore, type CollectionsOf, type PagesResult, type QueryResult } from "./adapters/query.js";
export type { Store } from "./adapters/shared.js";
export { statusStore } from "./adapters/status.js";
