/** Live queries. */

import type { Database, LiveQuery } from "@bunbase/sdk";
import { queryStore, type CollectionsOf, type QueryResult as Result } from "@bunbase/sdk/adapters";
import { computed, type ComputedRef } from "vue";
import { useRealtime } from "./client.js";
import { useStore } from "./store.js";

/** What is registered for all composables; see {@link Collections}. */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- applications add to it
export interface Register {}

/**
 * The types of the documents by the collections' names:
 *
 * ```ts
 * declare module "@bunbase/vue" {
 *   interface Register { collections: import("./collections.js").Collections }
 * }
 * ```
 */
export type Collections = CollectionsOf<Register>;

/** A live query's result: a ref for each field. */
export type QueryResult<T> = { [F in keyof Result<T>]: ComputedRef<Result<T>[F]> };

/**
 * Follow a live query: `useQuery((db) => db.collection("todos").where("done", "==", props.done))`. With what it reads of refs, props
 * and other reactive state it becomes another query; `null` is none.
 *
 * Equal queries share one subscription, which stays for a second after the last component is gone. Build the query from the `db`
 * that is given: it is that of the plugin's client. While another query loads, `docs` is empty.
 */
export function useQuery<T>(build: (db: Database<Collections>) => LiveQuery<T> | null): QueryResult<T> {
  const client = useRealtime();
  const result = useStore(() => queryStore(client, build(client.database() as Database<Collections>)));
  return {
    docs: computed(() => result.value.docs),
    status: computed(() => result.value.status),
    error: computed(() => result.value.error),
    strategy: computed(() => result.value.strategy),
  };
}
