/**
 * Bunbase Realtime in Svelte: live queries, channels and presence as objects whose fields are reactive.
 *
 * @packageDocumentation
 */

export { useChannel, usePresence, type ChannelResult, type Listeners, type PresenceResult } from "./channel.js";
export { setRealtime, useConnectionState, useRealtime } from "./client.js";
// All of it, for only so can an application add to `Register`.
export * from "./query.js";
