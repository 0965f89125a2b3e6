/** Live queries. */

import type { Database, LiveQuery } from "@bunbase/sdk";
import { queryStore, type CollectionsOf, type QueryResult } from "@bunbase/sdk/adapters";
import { useRealtime } from "./client.js";
import { reader } from "./store.js";

export type { QueryResult } from "@bunbase/sdk/adapters";

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
