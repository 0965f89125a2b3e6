/** Live queries: how they are written, and the list that each of them keeps. */

import { guarded } from "../core/emitter.js";
import type { RealtimeError } from "../protocol/errors.js";
import type { Slot } from "../connection/link.js";
import { expected, mustBeObject, mustBeText, mustCall } from "../protocol/expected.js";
import { stringify } from "../protocol/json.js";
import { compare } from "../core/position.js";
import type { SubscriptionManager } from "../connection/subscription_manager.js";
import type { Subscription } from "../connection/subscription.js";
import { cursor } from "../core/cursor.js";
import { apply, difference, type Change, type Doc, type Snapshot } from "../core/snapshot.js";
import type { Untyped } from "../protocol/types.js";
import type { Delivered, Subscribed } from "../protocol/wire.js";
import { count, get, liveCount, pages, type Count, type Pages, type PagesSnapshot } from "./pages.js";
import type { At, Condition, NameOf, Operand, Operator, OperatorFor, Selected } from "./typed_query.js";

/** A query in the form of the protocol. */
interface Spec {
  readonly where?: readonly unknown[];
  readonly orderBy?: readonly unknown[];
  readonly [field: string]: unknown;
}

/** How to follow a live query. */
export interface SnapshotOptions {
  /** Snapshots carry what the transaction that made their changes was annotated with, as `meta`. */
  meta?: boolean;
  /** The first snapshot has all that was committed before. Else it may be a moment behind where others follow the same query. */
  fresh?: boolean;
}

/** Ends a live query. */
export interface QuerySubscription {
  /** The listener gets no further snapshots. */
  unsubscribe(): void;
}

/** A query whose result can be followed. `T` is the type of its documents. */
export class LiveQuery<T = Untyped> {
  /** @internal */
  constructor(
    /** @internal */
    readonly _getManager: () => SubscriptionManager,
    /** @internal */
    protected _collection: string,
    /** The form of the protocol. @internal */
    readonly _spec: Spec = {},
  ) {
    mustBeText("collection", _collection);
    stringify(_spec); // what JSON would drop or change is an error where it is written
  }

  /**
   * Follow the result: called with all documents first, then at each change, with the changes.
   *
   * @param onError the query was rejected, or was ended by the server. Without it, the client emits `error`.
   */
  onSnapshot(
    onNext: (snapshot: Snapshot<T>) => void,
    onError?: (error: RealtimeError) => void,
    options?: SnapshotOptions,
  ): QuerySubscription {
    mustCall("onNext", onNext);
    if (onError) mustCall("onError", onError);
    if (options) mustBeObject("options", options);
    const manager = this._getManager();
    const subscription = new LiveList(
      `db:collection:${this._collection}`,
      this._spec,
      manager,
      onNext,
      onError,
      options,
    );
    manager._want(subscription);
    return { unsubscribe: () => subscription._stop() };
  }

  /**
   * The result as it is now: with all that was committed before. No subscription is left behind.
   *
   * @param timeout milliseconds; default: 30,000.
   * @throws {@link RealtimeError} if the query is rejected; `RT_001` if it takes too long; without a connection
   * its message has the state and the reason for that.
   */
  get(timeout?: number): Promise<Snapshot<T>> {
    return get(this, timeout);
  }
}

/**
 * A query on one collection. Each method of its conditions and order returns a new one; a query is sent when it is followed. `T` is the
 * type of the collection's documents, `R` of those of the result: it has fewer fields after {@link select}.
 */
export class Query<T = Untyped, R = T> extends LiveQuery<R> {
  /** Only documents whose `field` meets the condition. Several conditions must all hold. */
  where<F extends NameOf<T>, O extends OperatorFor<At<T, F>>>(
    field: F,
    operator: O,
    ...value: Operand<At<T, F>, O>
  ): Query<T, R>;
  /** Only documents that meet the condition. */
  where(condition: Condition<T>): Query<T, R>;
  where(field: string | Condition<T>, operator?: Operator, ...value: unknown[]): Query<T, R> {
    const condition = typeof field === "string" ? [field, operator, ...value] : field;
    return this._with({ where: [...(this._spec.where ?? []), condition] });
  }

  /** Sort by `field`, after the earlier sort keys. Without `nulls`, nulls are sorted as in PostgreSQL. */
  orderBy(field: NameOf<T>, direction: "asc" | "desc" = "asc", nulls?: "nulls-first" | "nulls-last"): Query<T, R> {
    return this._with({
      orderBy: [...(this._spec.orderBy ?? []), nulls ? [field, direction, nulls] : [field, direction]],
    });
  }

  /** At most so many documents. */
  limit(count: number): Query<T, R> {
    if (!Number.isInteger(count)) expected("limit", "a whole number", count);
    return this._with({ limit: count });
  }

  /**
   * Only these fields of the documents, and those of the primary key. Conditions and order may name others. A later call replaces
   * this one.
   */
  select<F extends NameOf<T>>(...fields: [field: F, ...more: F[]]): Query<T, Selected<T, F>> {
    return this._with({ select: fields });
  }

  /** Begin at these values of the sort keys, or at a document: the order is then given before. */
  startAt(...at: Place<R>): Query<T, R> {
    return this._at("startAt", at);
  }

  /** Begin after a document, or these values of the sort keys: the primary key, too, so that equal ones are not skipped. */
  startAfter(...at: Place<R>): Query<T, R> {
    return this._at("startAfter", at);
  }

  /** End at a document, or these values of the sort keys. */
  endAt(...at: Place<R>): Query<T, R> {
    return this._at("endAt", at);
  }

  /** End before a document, or these values of the sort keys. */
  endBefore(...at: Place<R>): Query<T, R> {
    return this._at("endBefore", at);
  }

  /**
   * How many documents there are now, of those that the user may see; with a limit at most so many. PostgreSQL counts: no document is
   * sent. What holds for queries that are read again, such as `max_query_cost`, holds for a count.
   *
   * @param timeout milliseconds; default: 30,000.
   * @throws {@link RealtimeError} as {@link get} does.
   */
  count(timeout?: number): Promise<number> {
    return count(this, timeout);
  }

  /** The number of the documents as a live query of one document, `{ count }`. */
  liveCount(): LiveQuery<Count> {
    return liveCount(this);
  }

  /**
   * Follow the first `size` documents, and more with each {@link Pages.loadMore}. All that is loaded is one live list: exact, without
   * gaps between pages whatever is inserted or removed. At most 9,999 documents: the last page ends there. A longer list is another
   * query for the server, which reads all its rows.
   *
   * @param size a whole number from 1 to 9,999; else a `TypeError`.
   * @param onNext called with all that is loaded: first, after each page, and at each change.
   * @param onError the query was rejected, or was ended by the server; or the next page was, or it would be beyond 9,999. Without it,
   * the client emits `error`.
   */
  pages(
    size: number,
    onNext?: (snapshot: PagesSnapshot<R>) => void,
    onError?: (error: RealtimeError) => void,
  ): Pages<R> {
    return pages(this, size, onNext, onError);
  }

  private _at(name: string, at: unknown[]): Query<T, R> {
    return this._with({ [name]: cursor(at, this._spec.orderBy) });
  }

  /** @internal */
  _with<S>(changes: Record<string, unknown>): Query<T, S> {
    return new Query<T, S>(this._getManager, this._collection, { ...this._spec, ...changes });
  }
}

/** A place in the order of a query: a document of it, or values of the sort keys, from the first on. */
export type Place<T = Untyped> = [doc: Doc<T>] | unknown[];

/** A value of a primary key: a number, or its text. */
export type KeyValue = string | number | bigint | boolean;

/** A collection: the query for all its documents. */
export class Collection<T = Untyped> extends Query<T> {
  /** One document, `snapshot.doc`, by its `id`; or by the values of its primary key, in the order of the key. */
  doc(...key: [id: KeyValue, ...more: KeyValue[]]): LiveQuery<T> {
    return new LiveQuery<T>(this._getManager, this._collection, { doc: key });
  }

  /** A query in SQL that reads this collection, with parameters `$1`, `$2`, … */
  sql<R = Untyped>(text: string, params: unknown[] = []): LiveQuery<R> {
    return new LiveQuery<R>(this._getManager, this._collection, { sql: text, params });
  }
}

/**
 * The tables that are exposed as collections. `C` is the type of their documents by the collections' names, as `realtime types`
 * writes it; without one, any name is open.
 */
export interface Database<C = Untyped> {
  /** A collection by its name. `T` is the type of its documents, if it is not that of `C`. */
  collection<T = never, N extends NameOf<C> = NameOf<C>>(name: N): Collection<[T] extends [never] ? At<C, N> : T>;
}

/** The list as one link sends it. */
interface Feed {
  _docs: readonly Doc[];
  /** Of the last snapshot that made the list: from where to go on. */
  _since: string | undefined;
  /** Of that snapshot. */
  _epoch: string | undefined;
  /** The server's answer: of the snapshots to follow. */
  _next?: string | undefined;
}

const CATCH_UP = 1000; // ms in which a new link repeats the snapshots of the previous one

/** One live query over all connections. The list of the listener never goes back. */
class LiveList implements Subscription {
  readonly _isChannel = false;
  _begun = false;
  private _shown: Feed | undefined;
  private _feed: Feed | undefined;
  private _late: (() => void) | undefined;
  private _over = false;
  private _plan: Pick<Snapshot, "strategy" | "reason"> = {};

  constructor(
    readonly _name: string,
    private _spec: Spec,
    private _manager: SubscriptionManager,
    private _onNext: (snapshot: Snapshot) => void,
    private _onError: ((error: RealtimeError) => void) | undefined,
    private _options: SnapshotOptions | undefined,
  ) {}

  _stop(): void {
    if (this._over) return;
    this._over = true;
    this._late?.();
    this._manager._unwant(this);
  }

  _request(slot: Slot): object {
    // The shown list may be ahead of the link in use, if that took over just now; then the link's own list is the base.
    const { _docs = [], _since, _epoch } = this._feed ?? {};
    slot._memo = { _docs, _since, _epoch } satisfies Feed;
    return {
      ...this._options, // the server refuses what is unknown
      query: this._spec,
      ...(_since && _epoch && { since: _since, epoch: _epoch }),
    };
  }

  _subscribed({ epoch, strategy, reason }: Subscribed, slot: Slot): void {
    this._plan = { ...(strategy && { strategy }), ...(reason && { reason }) };
    const feed = slot._memo as Feed;
    feed._next = epoch;
    this._feed = feed;
    // After that time no repeated snapshot is expected any more.
    if (this._shown && this._shown._docs !== feed._docs) this._wait();
  }

  _process(message: Delivered, slot: Slot): void {
    if (message.type !== "snapshot" || this._over) return;
    const { reset, changes: raw, position, meta } = message;
    const feed = slot._memo as Feed;
    const before = reset ? undefined : feed._docs;
    const [docs, changes] = apply(before ?? [], raw);
    feed._docs = docs;
    feed._since = position;
    feed._epoch = feed._next;
    const ahead = this._shown?._since;
    if (ahead && compare(position, ahead) < 0) {
      if (!this._late) this._wait(); // its continuation is another history
    } else if (before && before === this._shown?._docs) this._show(changes, meta);
    else this._show();
  }

  _ended(error: RealtimeError): void {
    if (this._over) return;
    this._over = true;
    this._late?.();
    if (this._onError) guarded(() => this._onError!(error));
    else this._manager._report(error);
  }

  private _wait(): void {
    this._late?.();
    this._late = this._manager._after(CATCH_UP, () => this._show());
  }

  /** Show the list. `known`: the changes since it was shown last, if available, and `meta` of their transaction. */
  private _show(known?: Change[], meta?: Record<string, Untyped>): void {
    this._late?.();
    this._late = undefined;
    const feed = this._feed!;
    const changes = known ?? difference(this._shown?._docs ?? [], feed._docs);
    this._shown = { ...feed };
    if (this._begun && !changes.length) return;
    this._begun = true;
    const plan = this._plan;
    guarded(() =>
      this._onNext({
        docs: feed._docs,
        doc: feed._docs[0],
        changes,
        position: feed._since!,
        ...plan,
        ...(meta && { meta }),
      }),
    );
  }
}
