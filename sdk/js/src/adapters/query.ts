/** Live queries as stores. */

import type { Pages } from "../client/pages.js";
import type { LiveQuery, Query } from "../client/query.js";
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

/** What is loaded of a live query. After a page that was refused it is `live` with an `error`, and can load again. */
export interface PagesResult<T> extends QueryResult<T> {
  /** There are documents after these. */
  hasMore: boolean;
  /** Load the next page; without effect while one is being loaded, and where there is none. */
  loadMore: () => void;
}

const LOADING: QueryResult<never> = { docs: [], status: "loading", error: undefined, strategy: undefined };
const IDLE: QueryResult<never> = { ...LOADING, status: "idle" };
const NO_PAGES = { hasMore: false, loadMore: () => {} };

/** A store of what never changes. */
const still = <S>(initial: S): Store<S> => ({ key: "", initial, get: () => initial, subscribe: () => () => {} });
const NONE = still(IDLE);
const NONE_PAGED = still<PagesResult<never>>({ ...IDLE, ...NO_PAGES });

const storesOf = perClient(() => new Shared<QueryResult<Untyped>>(LOADING));
const pagedOf = perClient(() => new Shared<PagesResult<Untyped>>({ ...LOADING, ...NO_PAGES }));

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

/** What is loaded of a query, `size` documents first. Equal queries with equal sizes share it: a page that one loads, all have. */
export function pagesStore<T>(client: Realtime, query: Query<Untyped, T> | null, size: number): Store<PagesResult<T>> {
  if (!query) return NONE_PAGED;
  const stores = pagedOf(client) as Shared<PagesResult<T>>;
  const key = canonical([query, size]);
  return stores.store(key, (set) => {
    let followed: Pages<T> | undefined = undefined; // it may be refused at once
    const loadMore = (): void => followed?.loadMore();
    followed = query.pages(
      size,
      ({ docs, strategy, hasMore }) => set({ docs, status: "live", error: undefined, strategy, hasMore, loadMore }),
      (error) => {
        const hasMore = !!followed?.hasMore; // then only a page was refused
        set({ ...stores.get(key), status: hasMore ? "live" : "error", error, hasMore }, !hasMore);
        report(error);
      },
    );
    return () => {
      const ended = followed;
      followed = undefined; // a button that has outlived its component loads nothing
      ended?.unsubscribe();
    };
  });
}
