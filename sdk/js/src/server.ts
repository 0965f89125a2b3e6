/**
 * Bunbase Realtime for your servers: publish, look and manage over the REST API, without a connection.
 *
 * @packageDocumentation
 */

import { RealtimeServer } from "./client/server.js";
import { setDefaults, type Defaults } from "./client/settings.js";

export {
  RealtimeServer,
  ServerChannel,
  type History,
  type RoomSettings,
  type ServerRoom,
  type WideBroadcastOptions,
} from "./client/server.js";
export {
  Rest,
  RestChannel,
  type BroadcastOptions,
  type ConnectionInfo,
  type ServerOptions,
  type ServerUser,
} from "./client/rest.js";
export type { HistoryPage } from "./client/typed_channel.js";
export type { Defaults } from "./client/settings.js";
export { ErrorCode } from "./protocol/codes.js";
export { RealtimeError } from "./protocol/errors.js";

/** Set the address of the service and the key for {@link realtime}, and every `new RealtimeServer()` without them. */
export const configure: (given: Defaults) => void = setDefaults;

/** The service at the address and with the key of {@link configure}, or of `BUNBASE_REALTIME_URL` and `BUNBASE_REALTIME_KEY`. */
export const realtime: RealtimeServer = /* @__PURE__ */ new RealtimeServer();
