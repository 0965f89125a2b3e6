/**
 * Bunbase Realtime in Vue: live queries, channels and presence as composables.
 *
 * @packageDocumentation
 */

export { useChannel, usePresence, type ChannelResult, type Listeners, type PresenceResult } from "./channel.js";
export { realtimeKey, RealtimePlugin, useConnectionState, useRealtime } from "./client.js";
// All of it, for only so can an application add to `Register`.
export * from "./query.js";
