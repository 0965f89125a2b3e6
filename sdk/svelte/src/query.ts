/** Live queries. */

import type { Database, LiveQuery, Query, Untyped } from "@bunbase/sdk";
import { pagesStore, queryStore, type CollectionsOf, type PagesResult, type QueryResult } from "@bunbase/sdk/adapters";
import { useRealtime } from "./client.js";
import { getterOf, reader, type MaybeGetter } from "./store.js";

export type { PagesResult, QueryResult } from "@bunbase/sdk/adapters";

/** What is registered for all components; see {@link Collections}. */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type -- applications add to it
export interface Register {}

/**
 * The types of the documents by the collections' names:
 *
 * ```ts
 * import type { Collections } from "./collections.js";
 *
 * declare module "@bunbase/svelte" {
 *   interface Register { collections: Collections }
 * }
 * ```
 */
export type Collections = CollectionsOf<Register>;

/**
 * A live query: `useQuery((db) => db.collection("todos").where("done", "==", done))`. With what it reads of state and props it
 * becomes another query; `null` is none. It is followed while a template, an effect or a derived reads the result.
 *
 * Equal queries share one subscription, which stays for a second after the last reader is gone. Build the query from the `db` that
 * is given: it is that of the client. While another query loads, `docs` is empty. Do not destructure the result: its fields are
 * read when they are used.
 */
export function useQuery<T>(build: (db: Database<Collections>) => LiveQuery<T> | null): Readonly<QueryResult<T>> {
  const client = useRealtime();
  const read = reader(() => queryStore(client, build(client.database() as Database<Collections>)));
  return {
    get docs() {
      return read().docs;
    },
    get status() {
      return read().status;
    },
    get error() {
      return read().error;
    },
    get strategy() {
      return read().strategy;
    },
  };
}

/**
 * The first `size` documents of a query, and more with each `loadMore()`: `usePages((db) => db.collection("todos").orderBy("at"), 20)`.
 * All that is loaded is one live list, as that of `query.pages()` of the SDK. It is followed as that of {@link useQuery}; `null` in the
 * query's place is none.
 *
 * Components with equal queries and sizes share the list, with what any of them has loaded. With another query or size it begins
 * anew with the first page.
 *
 * @param size documents of a page, from 1 to 9,999; else a `TypeError`. Also a function.
 */
export function usePages<T>(
  build: (db: Database<Collections>) => Query<Untyped, T> | null,
  size: MaybeGetter<number>,
): Readonly<PagesResult<T>> {
  const client = useRealtime();
  const sizeNow = getterOf(size);
  const read = reader(() => pagesStore(client, build(client.database() as Database<Collections>), sizeNow()));
  return {
    get docs() {
      return read().docs;
    },
    get status() {
      return read().status;
    },
    get error() {
      return read().error;
    },
    get strategy() {
      return read().strategy;
    },
    get hasMore() {
      return read().hasMore;
    },
    loadMore: () => read().loadMore(),
  };
}
