// Applying a snapshot event's changes to the list they were computed from.

/** @typedef {{id: string, data: Record<string, any>}} Doc */
/** @typedef {{type: "added"|"modified"|"removed", oldIndex: number, newIndex: number, doc: {id: string, data?: Record<string, any>, changed?: Record<string, any>}}} Change */

/** The event does not fit the list we hold; the only right answer is to ask for the list again. */
export class OutOfStep extends Error {}

/**
 * The list after `changes`, applied in order: each takes a row out at `oldIndex` and puts it in at `newIndex`.
 * A change without `data` is a delta: to the document in the list. The given list is left as it was.
 * @param {readonly Doc[]} list
 * @param {readonly Change[]} changes
 * @returns {Doc[]}
 */
export function applyChanges(list, changes) {
  const next = [...list];
  for (const { type, oldIndex, newIndex, doc } of changes) {
    const { data = { ...next[oldIndex]?.data, ...doc.changed } } = doc;
    if (type !== "added") {
      if (next[oldIndex]?.id !== doc.id) throw new OutOfStep(`row ${doc.id} is not at index ${oldIndex}`);
      next.splice(oldIndex, 1);
    }
    if (type !== "removed") {
      if (newIndex < 0 || newIndex > next.length) throw new OutOfStep(`there is no index ${newIndex}`);
      next.splice(newIndex, 0, { id: doc.id, data });
    }
  }
  return next;
}
