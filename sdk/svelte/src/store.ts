/** Stores where Svelte reads them. */

import type { Store } from "@bunbase/sdk/adapters";
import { onMount } from "svelte";
import { createSubscriber } from "svelte/reactivity";
import { toStore } from "svelte/store";

/** A value, or what returns it: of a function Svelte knows on which state it depends. */
export type MaybeGetter<T> = T | (() => T);

/** What returns the value. */
export function getterOf<T>(given: MaybeGetter<T>): () => T {
  return typeof given === "function" ? (given as () => T) : () => given;
}

/**
 * Reads a store, and another one once `source` depends on state that has changed. What reads it in a template, an effect or a
 * derived follows the store as long as that lasts; elsewhere, and on a server that renders, it is read alone.
 */
export function reader<S>(source: () => Store<S>): () => S {
  let key: string | undefined;
  let subscribe: () => void;
  return () => {
    const store = source();
    if (store.key !== key) {
      key = store.key;
      subscribe = createSubscriber((update) => store.subscribe(update));
    }
    subscribe();
    return store.get();
  };
}

/** While the component is mounted: `begin` with a value, and again when that has changed. It returns what ends it. */
export function whileMounted<V>(get: () => V, begin: (value: V) => () => void): void {
  onMount(() => {
    let end = (): void => {};
    const leave = toStore(get).subscribe((value) => {
      end();
      end = begin(value);
    });
    return () => {
      leave();
      end();
    };
  });
}
