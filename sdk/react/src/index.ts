/**
 * Bunbase Realtime in React: live queries, channels and presence as hooks.
 *
 * @packageDocumentation
 */

export { useChannel, usePresence, type ChannelResult, type Listeners, type PresenceResult } from "./channel.js";
export { RealtimeProvider, useConnectionState, useRealtime, type RealtimeProviderProps } from "./provider.js";
// All of it, for only so can an application add to `Register`.
export * from "./query.js";
