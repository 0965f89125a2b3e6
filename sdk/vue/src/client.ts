/** The client that composables use. */

import type { ConnectionStatus, Realtime } from "@bunbase/sdk";
import { statusStore } from "@bunbase/sdk/adapters";
import { computed, inject, type App, type ComputedRef, type InjectionKey } from "vue";
import { useStore } from "./store.js";

/** Under what the client is provided: for `provide(realtimeKey, client)`, which gives the components below another one. */
export const realtimeKey: InjectionKey<Realtime> = Symbol.for("@bunbase/vue");

/**
 * Gives all components a client: `app.use(RealtimePlugin, client)`. Made with `autoConnect: false`, the client is connected here in
 * browsers, and not on a server that renders. The client is yours: it stays connected.
 */
export const RealtimePlugin = {
  /** Called by Vue. */
  install(app: App, client: Realtime): void {
    app.provide(realtimeKey, client);
    if (typeof document !== "undefined") client.connect();
  },
};

/** The client of the {@link RealtimePlugin}. Throws without one. */
export function useRealtime(): Realtime {
  const client = inject(realtimeKey, undefined);
  if (!client) throw new Error("composables of @bunbase/vue need app.use(RealtimePlugin, client)");
  return client;
}

/** Whether there is a connection, and if not, why; see `ConnectionStatus` of the SDK. `closed` until the component is mounted. */
export function useConnectionState(): {
  /** The state. */
  state: ComputedRef<ConnectionStatus["state"]>;
  /** Why it is not open. */
  reason: ComputedRef<string | undefined>;
} {
  const store = statusStore(useRealtime());
  // A page that a server has rendered has to begin as there.
  const status = useStore(() => store, store.initial);
  return { state: computed(() => status.value.state), reason: computed(() => status.value.reason) };
}
