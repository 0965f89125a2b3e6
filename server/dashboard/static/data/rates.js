// Rates out of counters that only grow, as the nodes write them down.

/** @typedef {{messages: number, reads: number}} Rates per second */

/** Nodes write their figures two seconds after a change; one that was idle before has not been changing since its last figures. */
const LONGEST = 4;
const KEPT = 150;

/** Follows the counters of nodes; keeps what was seen, for plots. */
export class RateLog {
  /** @type {Map<string, {startedAt: string, collectedAt: string, messages: number, reads: number, rates: Rates, seenAt: number}>} */
  #nodes = new Map();
  /** @type {({at: number} & Rates)[]} */
  points = [];

  /** @param {Record<string, any>[]} nodes rows of stat_nodes @param {number} [now] milliseconds */
  add(nodes, now = Date.now()) {
    const sum = { messages: 0, reads: 0 };
    for (const node of nodes) {
      if (node.collectedAt === null || node.messages === null) continue;
      const rates = this.#ratesOf(node, now);
      sum.messages += rates.messages;
      sum.reads += rates.reads;
    }
    this.points.push({ at: now, ...sum });
    if (this.points.length > KEPT) this.points.shift();
    return sum;
  }

  /** @param {Record<string, any>} node @param {number} now */
  #ratesOf(node, now) {
    const before = this.#nodes.get(node.node);
    const { startedAt, collectedAt, messages, reads } = node;
    if (before?.collectedAt === collectedAt) {
      if (now - before.seenAt > LONGEST * 1000) before.rates = { messages: 0, reads: 0 };
      return before.rates;
    }
    const took = before ? (new Date(collectedAt).valueOf() - new Date(before.collectedAt).valueOf()) / 1000 : 0;
    const known = before && before.startedAt === startedAt && took > 0;
    const per = Math.min(Math.max(took, 1), LONGEST);
    const rates = known
      ? { messages: (messages - before.messages) / per, reads: (reads - before.reads) / per }
      : { messages: 0, reads: 0 };
    this.#nodes.set(node.node, { startedAt, collectedAt, messages, reads, rates, seenAt: now });
    return rates;
  }
}
