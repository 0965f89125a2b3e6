// Live queries out of rows of `realtime.stat_queries`, of which each node has one.

/** @typedef {import("../data/pages.js").Row} Row */

/**
 * Each query once, as `GET /realtime/live-queries` answers it; its answers stay as they are.
 * @param {Row[]} rows
 * @returns {Row[]}
 */
export function overNodes(rows) {
  /** @type {Map<string, Row>} */
  const found = new Map();
  for (const { node, ...row } of rows) {
    const known = found.get(row.queryId);
    found.set(row.queryId, known ? both(known, row, node) : { nodes: [node], ...row });
  }
  return [...found.values()];
}

/** @param {Row} known @param {Row} row @param {string} node @returns {Row} */
const both = (known, row, node) => ({
  ...known,
  subscribers: known.subscribers + row.subscribers,
  rows: Math.max(known.rows, row.rows),
  reads: known.reads + row.reads,
  readMs: known.readMs + row.readMs,
  cost: known.cost === null || row.cost === null ? (known.cost ?? row.cost) : Math.max(known.cost, row.cost),
  nodes: [...known.nodes, node].sort(),
});
