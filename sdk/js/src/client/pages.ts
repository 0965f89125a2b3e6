/** What is made of live queries: one result, a count, and pages. */

import { ErrorCode } from "../protocol/codes.js";
import { RealtimeError } from "../protocol/errors.js";
import { expected } from "../protocol/expected.js";
import { mustTime } from "./known.js";
import type { LiveQuery, Query, QuerySubscription } from "./query.js";
import { difference, type Doc, type Snapshot } from "../core/snapshot.js";
import type { Untyped } from "../protocol/types.js";

/** As `query.get()`. */
export function get<T = Untyped>(query: LiveQuery<T>, timeout = 30_000): Promise<Snapshot<T>> {
  let live: QuerySubscription | undefined;
  let cancel: (() => void) | undefined;
  return new Promise<Snapshot<T>>((resolve, reject) => {
    mustTime(timeout);
    const manager = query._getManager();
    live = query.onSnapshot(resolve, reject, { fresh: true });
    cancel = manager._after(timeout, () => reject(manager._late("no result", timeout)));
  }).finally(() => {
    cancel?.();
    live?.unsubscribe();
  });
}

/** The one document of a live count. */
export interface Count {
  count: number;
}

/** As `query.count()`. */
export async function count<T = Untyped>(query: Query<Untyped, T>, timeout?: number): Promise<number> {
  return (await get(liveCount(query), timeout)).doc!.data().count;
}

/** As `query.liveCount()`. */
export function liveCount<T = Untyped>(query: Query<Untyped, T>): LiveQuery<Count> {
  return query._with({ count: true });
}

const LIMIT = 9999; // documents: the server's limit of a query, less the one by which it is known whether there are more

/** The pages that are loaded, as one list. */
export interface PagesSnapshot<T = Untyped> extends Snapshot<T> {
  /** There are documents after these. */
  hasMore: boolean;
}

/** A live query of which more and more is loaded. Made by {@link Query.pages}. */
export interface Pages<T = Untyped> {
  /** All that is loaded, as it is now. */
  readonly docs: readonly Doc<T>[];
  /** There are documents after these. False after an error that has ended the list. */
  readonly hasMore: boolean;
  /**
   * Load the next page; without effect while one is being loaded, and where there is none.
   *
   * @throws {@link RealtimeError} `RT_004` after `unsubscribe()`.
   */
  loadMore(): void;
  /** The listener gets no further snapshots. */
  unsubscribe(): void;
}

/** As `query.pages()`. */
export function pages<T = Untyped>(
  query: Query<Untyped, T>,
  size: number,
  onNext?: (snapshot: PagesSnapshot<T>) => void,
  onError?: (error: RealtimeError) => void,
): Pages<T> {
  if (!Number.isInteger(size) || size < 1 || size > LIMIT) expected("size", `a whole number from 1 to ${LIMIT}`, size);
  const manager = query._getManager();
  const fail = (error: RealtimeError): void => (onError ? onError(error) : manager._report(error));
  let loaded = 0; // documents of the list that is shown
  let shown: readonly Doc<T>[] | undefined;
  let hasMore = false;
  let over = false;
  let current: QuerySubscription | undefined;
  let next: QuerySubscription | undefined;

  // One document more than is shown: whether there is one is `hasMore`. The longer list takes over with its first snapshot.
  const follow = (limit: number): QuerySubscription =>
    query.limit(limit + 1).onSnapshot(
      (snapshot) => {
        if (limit > loaded) {
          current?.unsubscribe();
          [current, next, loaded] = [next, undefined, limit];
        }
        const docs = snapshot.docs.slice(0, limit);
        const [first, more] = [!shown, snapshot.docs.length > limit];
        const changes = difference(shown ?? [], docs);
        if (!first && !changes.length && more === hasMore) return;
        [shown, hasMore] = [docs, more];
        onNext?.({ ...snapshot, docs, changes, hasMore });
      },
      (error) => {
        if (limit > loaded) next = undefined;
        else hasMore = false;
        fail(error);
      },
    );

  next = follow(size);
  return {
    get docs() {
      return shown ?? [];
    },
    get hasMore() {
      return hasMore;
    },
    loadMore: () => {
      if (over) throw new RealtimeError(ErrorCode.NotFound, "pages: unsubscribed");
      if (!hasMore || next) return;
      if (loaded < LIMIT) next = follow(Math.min(loaded + size, LIMIT));
      else fail(new RealtimeError(ErrorCode.InvalidMessage, `pages: at most ${LIMIT} documents can be loaded`));
    },
    unsubscribe: () => {
      next?.unsubscribe();
      current?.unsubscribe();
      hasMore = false;
      over = true;
    },
  };
}
