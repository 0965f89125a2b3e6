/** The client that components use. */

import type { ConnectionStatus, Realtime } from "@bunbase/sdk";
import { statusStore } from "@bunbase/sdk/adapters";
import { getContext, onMount, setContext } from "svelte";
import { reader } from "./store.js";

const KEY = Symbol.for("@bunbase/svelte");

/**
 * Gives this component, and those in it, a client. Made with `autoConnect: false`, the client is connected when the component is
 * mounted, so not on a server that renders. The client is yours: it stays connected.
 */
export function setRealtime(client: Realtime): void {
  setContext(KEY, client);
  onMount(() => client.connect());
}

/** The client of {@link setRealtime}, while a component is made. Throws without one. */
export function useRealtime(): Realtime {
  const client = getContext<Realtime | undefined>(KEY);
  if (!client) throw new Error("@bunbase/svelte needs setRealtime(client) in the component or in one around it");
  return client;
}

/** Whether there is a connection, and if not, why; see `ConnectionStatus` of the SDK. */
export function useConnectionState(): Readonly<ConnectionStatus> {
  const store = statusStore(useRealtime());
  const read = reader(() => store);
  return {
    get state() {
      return read().state;
    },
    get reason() {
      return read().reason;
    },
  };
}
