/**
 * A collection of TanStack DB whose rows are a live query of Bunbase Realtime.
 *
 * @packageDocumentation
 */

import type { Database, LiveQuery, Realtime, RealtimeError, Snapshot } from "@bunbase/sdk";
import type {
  BaseCollectionConfig,
  CollectionConfig,
  DeleteMutationFnParams,
  InferSchemaOutput,
  InsertMutationFnParams,
  StandardSchema,
  SyncConfig,
  UpdateMutationFnParams,
} from "@tanstack/db";

/* eslint-disable @typescript-eslint/no-explicit-any -- as TanStack DB has it */

type Key = string | number;

/** The position of a write, or of several; see `realtime.position()`. */
export type Positions = string | readonly string[] | void;

/** What a collection of this kind has as `collection.utils`. */
export interface BunbaseCollectionUtils {
  /** Wait until the collection has what a write has caused: `whenSeen` of the SDK, with its errors. */
  whenSeen(position: string): Promise<void>;
  [name: string]: (position: string) => Promise<void>;
}

/** What {@link bunbaseCollectionOptions} takes. Fields that are not here are those of every collection of TanStack DB. */
export interface BunbaseCollectionConfig<
  T extends object,
  K extends Key = Key,
  Schema extends StandardSchema<any> = never,
  Collections = any,
> extends Omit<
  BaseCollectionConfig<T, K, Schema, BunbaseCollectionUtils>,
  "onInsert" | "onUpdate" | "onDelete" | "syncMode"
> {
  /** The client whose live query it is. */
  client: Realtime<Collections>;
  /** The live query, from the client's `database()`. Its rows are followed while the collection is used. */
  query: (db: Database<Collections>) => LiveQuery<T>;
  /**
   * Write what was inserted, by your own API, and return the position of the write: what was inserted in advance goes when the live
   * query has passed that, and not before. Without a position it goes when this returns. An error takes it back.
   */
  onInsert?: (params: InsertMutationFnParams<T, K, BunbaseCollectionUtils>) => Promise<Positions>;
  /** The same for what was updated. */
  onUpdate?: (params: UpdateMutationFnParams<T, K, BunbaseCollectionUtils>) => Promise<Positions>;
  /** The same for what was deleted. */
  onDelete?: (params: DeleteMutationFnParams<T, K, BunbaseCollectionUtils>) => Promise<Positions>;
  /**
   * The query was refused, or was ended by the server. The collection keeps the rows that it has; one that has none yet is in the
   * state `error`. Without this it is logged by `console.error`.
   */
  onError?: (error: RealtimeError) => void;
  /** How long to wait for a write to be seen: ms, 30,000 by default. After that, what was shown in advance goes. */
  timeout?: number;
}

/** What `createCollection` takes. */
export type BunbaseCollectionOptions<
  T extends object,
  K extends Key,
  Schema extends StandardSchema<any> = never,
> = Omit<CollectionConfig<T, K, Schema, BunbaseCollectionUtils>, "utils"> & { utils: BunbaseCollectionUtils };

/**
 * Options for `createCollection` of TanStack DB: its rows are those of a live query, kept up to date.
 *
 * ```ts
 * const todos = createCollection(
 *   bunbaseCollectionOptions({
 *     client,
 *     query: (db) => db.collection<Todo>("todos").where("listId", "==", "home"),
 *     getKey: (todo) => todo.id,
 *     onInsert: async ({ transaction }) => (await api.post("/todos", transaction.mutations[0].modified)).position,
 *   }),
 * );
 * ```
 *
 * Each commit of the database is one commit of the collection.
 */
export function bunbaseCollectionOptions<Schema extends StandardSchema<any>, K extends Key = Key, Collections = any>(
  config: BunbaseCollectionConfig<InferSchemaOutput<Schema>, K, Schema, Collections> & { schema: Schema },
): BunbaseCollectionOptions<InferSchemaOutput<Schema>, K, Schema> & { schema: Schema };
export function bunbaseCollectionOptions<T extends object, K extends Key = Key, Collections = any>(
  config: BunbaseCollectionConfig<T, K, never, Collections> & { schema?: never },
): BunbaseCollectionOptions<T, K> & { schema?: never };
export function bunbaseCollectionOptions(
  config: BunbaseCollectionConfig<any, Key, any>,
): BunbaseCollectionOptions<any, Key, any> {
  const { client, query, onInsert, onUpdate, onDelete, onError, timeout, ...rest } = config;
  const whenSeen = (position: string): Promise<void> => client.whenSeen(position, timeout);

  /** The handler that returns when the feed has passed its writes. */
  const awaited = <P>(handler: ((params: P) => Promise<Positions>) | undefined) =>
    handler &&
    (async (params: P): Promise<void> => {
      const positions = await handler(params);
      await Promise.all([positions ?? []].flat().map(whenSeen));
    });

  return {
    ...rest,
    syncMode: "eager",
    sync: {
      sync: (run) => follow(query(client.database()) as LiveQuery<object>, run, config.getKey, onError),
      rowUpdateMode: "full",
    },
    onInsert: awaited(onInsert),
    onUpdate: awaited(onUpdate),
    onDelete: awaited(onDelete),
    utils: { whenSeen },
  };
}

/** One run of a collection's synchronization. The result ends it. */
function follow(
  query: LiveQuery<object>,
  { begin, write, commit, markReady, markError, truncate, collection }: Parameters<SyncConfig<object, Key>["sync"]>[0],
  getKey: (item: any) => Key,
  onError: (error: RealtimeError) => void = (error) =>
    console.error(`[bunbase] the collection ${collection.id}`, error),
): () => void {
  let ready = false;
  const apply = ({ changes }: Snapshot<object>): void => {
    begin();
    // What is kept from an earlier session may not be in the query any more.
    if (!ready && collection.size) truncate();
    for (const { type, doc } of changes)
      if (type === "removed") write({ type: "delete", key: getKey(doc.data()) });
      else write({ type: type === "added" ? "insert" : "update", value: doc.data() });
    void commit(); // it may be applied later, together with the end of an optimistic state
    if (!ready) markReady();
    ready = true;
  };
  const subscription = query.onSnapshot(apply, (error) => {
    if (!ready) markError(error);
    onError(error);
  });
  return () => subscription.unsubscribe();
}
