/** The state of the connection as a store. */

import type { Realtime } from "../client/realtime.js";
import type { ConnectionStatus } from "../protocol/types.js";
import type { Store } from "./shared.js";

const CLOSED: ConnectionStatus = { state: "closed" };

/** The state of the connection, and why. */
export function statusStore(client: Realtime): Store<ConnectionStatus> {
  return {
    key: "",
    initial: CLOSED,
    get: () => client.status,
    subscribe: (listener) => client.on("status", listener),
  };
}
