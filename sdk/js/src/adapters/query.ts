/** Live queries as stores. */

import type { LiveQuery } from "../client/query.js";
import type { Realtime } from "../client/realtime.js";
import type { Doc } from "../core/snapshot.js";
import type { RealtimeError } from "../protocol/errors.js";
import type { Untyped } from "../protocol/types.js";
import { canonical, perClient, report, Shared, type Store } from "./shared.js";

/** The collections' types that an adapter's `Register` has; without them everything is open. */
export type CollectionsOf<R> = R extends { collections: infer C } ? C : Untyped;

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
const NONE: Store<QueryResult<never>> = { key: "", initial: IDLE, get: () => IDLE, subscribe: () => () => {} };

const storesOf = perClient(() => new Shared<QueryResult<Untyped>>(LOADING));

/** The result of a query of this client's `database()`. Equal queries, however they are written, share one subscription. */
export function queryStore<T>(client: Realtime, query: LiveQuery<T> | null): Store<QueryResult<T>> {
  if (!query) return NONE;
  const stores = storesOf(client) as Shared<QueryResult<T>>;
  const key = canonical(query);
  return stores.store(key, (set) => {
    const subscription = query.onSnapshot(
      ({ docs, strategy }) => set({ docs, status: "live", error: undefined, strategy }),
      (error) => {
        set({ ...stores.get(key), status: "error", error }, true);
        report(error); // a page may show only `docs`
      },
    );
    return () => subscription.unsubscribe();
  });
}
