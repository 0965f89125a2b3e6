/** Live queries. */

import type { Database, LiveQuery, Query, Untyped } from "@bunbase/sdk";
import { pagesStore, queryStore, type CollectionsOf, type PagesResult, type QueryResult } from "@bunbase/sdk/adapters";
import { useRealtime } from "./provider.js";
import { useStore } from "./store.js";

export type { PagesResult, QueryResult } from "@bunbase/sdk/adapters";

/** What is registered for all hooks; see {@link Collections}. */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- applications add to it
export interface Register {}

/**
 * The types of the documents by the collections' names:
 *
 * ```ts
 * declare module "@bunbase/react" {
 *   interface Register { collections: import("./collections.js").Collections }
 * }
 * ```
 */
export type Collections = CollectionsOf<Register>;

/**
 * Follow a live query: `useQuery((db) => db.collection("todos").where("done", "==", false))`. `null` in its place is none.
 *
 * Equal queries share one subscription, which stays for a second after the last component is gone. Build the query from the `db`
 * that is given: it is that of the provider's client. While another query loads, `docs` is empty.
 */
export function useQuery<T>(build: ((db: Database<Collections>) => LiveQuery<T> | null) | null): QueryResult<T> {
  const client = useRealtime();
  return useStore(client, queryStore(client, build ? build(client.database() as Database<Collections>) : null));
}

/**
 * Follow the first `size` documents of a query, and more with each `loadMore()`: `usePages((db) => db.collection("todos").orderBy("at"), 20)`.
 * All that is loaded is one live list, as that of `query.pages()` of the SDK. `null` in the query's place is none.
 *
 * Components with equal queries and sizes share the list, with what any of them has loaded. With another query or size it begins
 * anew with the first page.
 *
 * @param size documents of a page, from 1 to 9,999; else a `TypeError`.
 */
export function usePages<T>(
  build: ((db: Database<Collections>) => Query<Untyped, T> | null) | null,
  size: number,
): PagesResult<T> {
  const client = useRealtime();
  const query = build && build(client.database() as Database<Collections>);
  return useStore(client, pagesStore(client, query, size));
}
