/** A store in a component. */

import type { Store } from "@bunbase/sdk/adapters";
import { computed, shallowRef, watchPostEffect, type ComputedRef } from "vue";

/**
 * The value of a store, and of another one once `source` depends on something that has changed. A store is followed from when the
 * component is mounted, so never on a server that renders, until the component, or its scope, ends.
 *
 * @param before what it is until then, if that is not the store's value at that time.
 */
export function useStore<S>(source: () => Store<S>, before?: S): ComputedRef<S> {
  // Stores of one key are the same.
  const store = computed<Store<S>>((last) => {
    const next = source();
    return last?.key === next.key ? last : next;
  });
  const version = shallowRef(0);
  let changes = 0;
  const changed = (): void => void (version.value = ++changes);
  watchPostEffect((onCleanup) => {
    onCleanup(store.value.subscribe(changed));
    changed(); // it may have changed since it was rendered
  });
  return computed(() => (version.value || before === undefined ? store.value.get() : before));
}
