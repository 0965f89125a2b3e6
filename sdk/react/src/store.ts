/** A store in a component. */

import type { Realtime } from "@bunbase/sdk";
import type { Store } from "@bunbase/sdk/adapters";
import { useCallback, useSyncExternalStore } from "react";

/** The value of a store, which is followed while the component is mounted, as long as its key is the same. */
export function useStore<S>(client: Realtime, store: Store<S>): S {
  const subscribe = useCallback(
    (listener: () => void) => store.subscribe(listener),
    // Stores of one key are the same.
    [client, store.key],
  );
  return useSyncExternalStore(
    subscribe,
    () => store.get(),
    () => store.initial,
  );
}
