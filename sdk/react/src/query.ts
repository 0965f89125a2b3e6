/** Live queries. */

import type { Database, Doc, LiveQuery, RealtimeError } from "@bunbase/sdk";
import { useCallback, useSyncExternalStore } from "react";
import { useRealtime } from "./provider.js";
import { canonical, perClient, Shared } from "./shared.js";

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
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- without them everything is open, as in the SDK
export type Collections = Register extends { collections: infer C } ? C : any;

/** A live query's result. */
export interface QueryResult<T> {
  /** The documents, in the query's order. After an error, those that there were last. */
  docs: readonly Doc<T>[];
  /** `idle`: there is no query; `loading`: no documents yet; `live`: kept up to date; `error`: refused, or ended. */
  status: "idle" | "loading" | "live" | "error";
  /** Why it was refused or has ended. */
  error: RealtimeError | undefined;
  /** `incremental` or `re-read`: how the server keeps it, if it has reported that. */
  strategy: string | undefined;
}

const LOADING: QueryResult<never> = { docs: [], status: "loading", error: undefined, strategy: undefined };
const IDLE: QueryResult<never> = { ...LOADING, status: "idle" };
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- queries of any documents are in one store
const storeOf = perClient(() => new Shared<QueryResult<any>>(LOADING));

/**
 * Follow a live query: `useQuery((db) => db.collection("todos").where("done", "==", false))`. `null` in its place is none.
 *
 * Equal queries share one subscription, which stays for a second after the last component is gone. Build the query from the `db`
 * that is given: it is that of the provider's client. While another query loads, `docs` is empty.
 */
export function useQuery<T>(build: ((db: Database<Collections>) => LiveQuery<T> | null) | null): QueryResult<T> {
  const client = useRealtime();
  const query = build ? build(client.database() as Database<Collections>) : null;
  const key = query ? canonical(query) : "";
  const store = storeOf(client);
  const subscribe = useCallback(
    (listener: () => void) => {
      if (!query) return () => {};
      return store.use(
        key,
        (set) => {
          const subscription = query.onSnapshot(
            ({ docs, strategy }) => set({ docs, status: "live", error: undefined, strategy }),
            (error) => set({ ...store.get(key), status: "error", error }, true),
          );
          return () => subscription.unsubscribe();
        },
        listener,
      );
    },
    // The key is the query.
    [store, key],
  );
  const get = (): QueryResult<T> => (key ? (store.get(key) as QueryResult<T>) : IDLE);
  return useSyncExternalStore(subscribe, get, () => (key ? LOADING : IDLE));
}
