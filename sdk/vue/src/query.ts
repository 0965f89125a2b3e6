/** Live queries. */

import type { Database, LiveQuery, Query, Untyped } from "@bunbase/sdk";
import {
  pagesStore,
  queryStore,
  type CollectionsOf,
  type PagesResult as Loaded,
  type QueryResult as Result,
} from "@bunbase/sdk/adapters";
import { computed, toValue, type ComputedRef, type MaybeRefOrGetter } from "vue";
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

/** What is loaded of a live query: as {@link QueryResult}. After a page that was refused it is `live` with an `error`, and can load again. */
export interface PagesResult<T> extends QueryResult<T> {
  /** There are documents after these. */
  hasMore: ComputedRef<boolean>;
  /** Load the next page; without effect while one is being loaded, and where there is none. */
  loadMore: () => void;
}

/** A ref for each field of a result. */
const refs = <T>(result: ComputedRef<Result<T>>): QueryResult<T> => ({
  docs: computed(() => result.value.docs),
  status: computed(() => result.value.status),
  error: computed(() => result.value.error),
  strategy: computed(() => result.value.strategy),
});

/**
 * Follow a live query: `useQuery((db) => db.collection("todos").where("done", "==", props.done))`. With what it reads of refs, props
 * and other reactive state it becomes another query; `null` is none.
 *
 * Equal queries share one subscription, which stays for a second after the last component is gone. Build the query from the `db`
 * that is given: it is that of the plugin's client. While another query loads, `docs` is empty.
 */
export function useQuery<T>(build: (db: Database<Collections>) => LiveQuery<T> | null): QueryResult<T> {
  const client = useRealtime();
  return refs(useStore(() => queryStore(client, build(client.database() as Database<Collections>))));
}

/**
 * Follow the first `size` documents of a query, and more with each `loadMore()`: `usePages((db) => db.collection("todos").orderBy("at"), 20)`.
 * All that is loaded is one live list, as that of `query.pages()` of the SDK. `null` in the query's place is none.
 *
 * Components with equal queries and sizes share the list, with what any of them has loaded. With another query or size it begins
 * anew with the first page.
 *
 * @param size documents of a page, from 1 to 9,999; else a `TypeError`. Also a ref or a function.
 */
export function usePages<T>(
  build: (db: Database<Collections>) => Query<Untyped, T> | null,
  size: MaybeRefOrGetter<number>,
): PagesResult<T> {
  const client = useRealtime();
  const result = useStore<Loaded<T>>(() =>
    pagesStore(client, build(client.database() as Database<Collections>), toValue(size)),
  );
  return { ...refs(result), hasMore: computed(() => result.value.hasMore), loadMore: () => result.value.loadMore() };
}
