// How long a change takes from COMMIT to this page's paint. Durations only: no clock of another machine is read.
//
// The server reports how long after the request's arrival it sent COMMIT, and between which positions the commit record lies.
// On our own clock that moment is
//     sent + (time on the way) / 2 + commitMs,   where time on the way = (answer received − sent) − totalMs
// and it is wrong by at most half the time on the way. An event is the statement's own if its position lies between the two;
// for each list the first one counts. Events can arrive before the answer does, so recent ones are kept.

import { parsePosition } from "./feed.js";
import { whenPainted } from "../shared/lib/frames.js";

/** @typedef {{label: string, position: bigint, paintedAt: number}} Painted */
/** @typedef {{low: bigint, high: bigint, committedAt: number, uncertainty: number, paints: Map<string, number>, onPaint: () => void}} Statement */

const KEPT_EVENTS = 200;
const KEPT_STATEMENTS = 20;
const KEPT_VALUES = 40;

export class Latency extends EventTarget {
  /** The first paint of each recent statement, in milliseconds, oldest first. @type {number[]} */
  values = [];
  /** @type {Painted[]} */ #events = [];
  /** @type {Statement[]} */ #statements = [];

  /** @param {import("./feed.js").Feed} feed */
  constructor(feed) {
    super();
    feed.addEventListener("arrived", (event) => this.#arrived(/** @type {CustomEvent} */ (event).detail));
  }

  /** It was given to a list, which draws it in the next frame. @param {import("./feed.js").Arrival} arrival */
  #arrived({ label, at, past }) {
    if (past || document.hidden) return; // hidden pages do not paint
    const event = { label, position: at, paintedAt: 0 };
    whenPainted((paintedAt) => {
      event.paintedAt = paintedAt;
      this.#events = [...this.#events.slice(1 - KEPT_EVENTS), event];
      for (const statement of this.#statements) this.#match(statement, event);
    });
  }

  /**
   * A statement of this page was answered. `onPaint` is called for each list that showed its effect, with `paints` filled.
   * @param {{position: string, positionEnd: string, commitMs: number|null, totalMs: number}} answer
   * @param {number} sentAt
   * @param {number} receivedAt
   * @param {(paints: Map<string, number>) => void} onPaint
   */
  measure({ position, positionEnd, commitMs, totalMs }, sentAt, receivedAt, onPaint) {
    if (commitMs === null) return;
    const uncertainty = Math.max(0, receivedAt - sentAt - totalMs) / 2;
    /** @type {Map<string, number>} */
    const paints = new Map();
    const statement = {
      low: parsePosition(position),
      high: parsePosition(positionEnd),
      committedAt: sentAt + uncertainty + commitMs,
      uncertainty,
      paints,
      onPaint: () => onPaint(paints),
    };
    this.#statements = [...this.#statements.slice(1 - KEPT_STATEMENTS), statement];
    for (const event of this.#events) this.#match(statement, event);
  }

  /**
   * @param {Statement} statement
   * @param {Painted} event
   */
  #match(statement, { label, position, paintedAt }) {
    if (position < statement.low || position >= statement.high || statement.paints.has(label)) return;
    const took = Math.max(0, paintedAt - statement.committedAt);
    if (statement.paints.size === 0) {
      this.values = [...this.values.slice(1 - KEPT_VALUES), took];
      this.dispatchEvent(new CustomEvent("measured", { detail: { took, uncertainty: statement.uncertainty } }));
    }
    statement.paints.set(label, took);
    statement.onPaint();
  }
}
