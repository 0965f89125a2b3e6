/** Live queries. */

import type { Database, LiveQuery } from "@bunbase/sdk";
import { queryStore, type CollectionsOf, type QueryResult } from "@bunbase/sdk/adapters";
import { useRealtime } from "./provider.js";
import { useStore } from "./store.js";

export type { QueryResult } from "@bunbase/sdk/adapters";

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
