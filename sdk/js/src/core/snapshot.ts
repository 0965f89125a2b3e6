/**
 * Lists of documents: applying changes, and finding the changes between two lists.
 *
 * The invariant of both: changes applied in order to the list before give the list after, exactly.
 */

import { equal } from "./equal.js";
import type { Untyped } from "../protocol/types.js";
import type { WireChange } from "../protocol/wire.js";

/** A document of a live query. `T` is the type of its data. */
export class Doc<T = Untyped> {
  /** The primary key as text, unique within the list. */
  readonly id: string;
  private _data: T;

  /** @internal */
  constructor(id: string, data: T) {
    this.id = id;
    this._data = data;
  }

  /** The document's fields. All snapshots share this object: do not change it. */
  data(): T {
    return this._data;
  }
}

/**
 * One step from the list before to the list after: remove at `oldIndex`, then insert at `newIndex`. Indexes count in the list as
 * the earlier changes of the same snapshot have left it.
 */
export interface Change<T = Untyped> {
  type: "added" | "modified" | "removed";
  /** The document as it is now; of a removed one, as it was. */
  doc: Doc<T>;
  /** -1: it was not in the list. */
  oldIndex: number;
  /** -1: it is no longer in the list. */
  newIndex: number;
}

/** A live query's list, and its difference to the one before. */
export interface Snapshot<T = Untyped> {
  /** All documents, in the query's order. */
  docs: readonly Doc<T>[];
  /** The first of them, of `doc(id)` the only one; undefined: there is none, or none that the user may see. */
  doc: Doc<T> | undefined;
  /** The changes since the last snapshot; in the first one, every document is added. */
  changes: readonly Change<T>[];
  /** How far the database was (an LSN). */
  position: string;
  /** How the server keeps the query: row by row, or read again. */
  strategy?: "incremental" | "re-read";
  /** Why it is read again, in words. */
  reason?: string;
  /** If it was asked for: what the transaction that made the changes was annotated with. */
  meta?: Record<string, Untyped>;
}

/**
 * A new list: `docs` with changes in the protocol's form; and these with whole documents. A change without `data` is a delta: to
 * the document in the list. Throws if that is not there.
 *
 * @internal
 */
export function apply(docs: readonly Doc[], raw: readonly WireChange[]): [Doc[], Change[]] {
  const list = docs.slice();
  const changes = raw.map(({ type, doc: { id, data, changed }, oldIndex, newIndex }) => {
    const old = oldIndex < 0 ? undefined : list.splice(oldIndex, 1)[0];
    if (data === undefined && old?.id !== id) throw new Error(`no document ${id}`);
    const doc = new Doc(id, data ?? { ...old!.data(), ...changed });
    if (newIndex >= 0) list.splice(newIndex, 0, doc);
    return { type, doc, oldIndex, newIndex };
  });
  return [list, changes];
}

/** The changes that lead from `old` to `now`: one per document at most, and no more moves than needed. @internal */
export function difference(old: readonly Doc[], now: readonly Doc[]): Change[] {
  const before = new Map(old.map((doc) => [doc.id, doc]));
  const wanted = new Set(now.map((doc) => doc.id));
  const changes: Change[] = [];
  for (let index = old.length; index--;)
    // from the back, so that the indexes before stay true
    if (!wanted.has(old[index]!.id)) changes.push({ type: "removed", doc: old[index]!, oldIndex: index, newIndex: -1 });
  const ids = old.flatMap((doc) => (wanted.has(doc.id) ? [doc.id] : []));
  const staying = longestOrdered(ids, now);
  now.forEach((doc, index) => {
    if (staying.has(doc.id)) return;
    const oldIndex = before.has(doc.id) ? ids.indexOf(doc.id) : -1;
    if (oldIndex >= 0) ids.splice(oldIndex, 1);
    const newIndex = index ? ids.indexOf(now[index - 1]!.id) + 1 : 0;
    ids.splice(newIndex, 0, doc.id);
    changes.push({ type: oldIndex < 0 ? "added" : "modified", doc, oldIndex, newIndex });
  });
  now.forEach((doc, index) => {
    if (staying.has(doc.id) && !equal(doc.data(), before.get(doc.id)!.data()))
      changes.push({ type: "modified", doc, oldIndex: index, newIndex: index });
  });
  return changes;
}

/** A largest set of ids that stand in the same order in both: a longest increasing subsequence of their places. */
function longestOrdered(ids: readonly string[], now: readonly Doc[]): Set<string> {
  const places = new Map(ids.map((id, place) => [id, place]));
  type Link = { _id: string; _place: number; _before: Link | undefined };
  const tops: Link[] = []; // the smallest end of an increasing subsequence of each length
  for (const { id } of now) {
    const place = places.get(id);
    if (place === undefined) continue;
    let low = 0;
    for (let high = tops.length; low < high;) {
      const middle = (low + high) >> 1;
      if (tops[middle]!._place < place) low = middle + 1;
      else high = middle;
    }
    tops[low] = { _id: id, _place: place, _before: tops[low - 1] };
  }
  const staying = new Set<string>();
  for (let link = tops.at(-1); link; link = link._before) staying.add(link._id);
  return staying;
}
