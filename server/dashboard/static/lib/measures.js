// Measures of alerts, in their units.

import { bytes, NONE, span } from "./values.js";

const share = (/** @type {number} */ n) => `${Math.round(n * 1000) / 10} %`;
/** As `span`, but of a few seconds with their parts: what is compared is not rounded. */
const duration = (/** @type {number} */ n) => (n < 1 || n >= 60 ? span(n) : `${Math.round(n * 1000) / 1000} s`);
const yes = (/** @type {number} */ n) => (n ? "yes" : NONE);

/** @type {Record<string, {title: string, unit: string, show: (n: number) => string}>} */
const MEASURES = {
  connection_share: { title: "connections, of a node’s capacity", unit: "0 to 1", show: share },
  error_share: { title: "errors, of clients’ messages in five minutes", unit: "0 to 1", show: share },
  delivery_seconds: { title: "commit to written, p95 of five minutes", unit: "seconds", show: duration },
  disconnect_share: { title: "broken connections, of those that ended in five minutes", unit: "0 to 1", show: share },
  node_unhealthy: { title: "a node is degraded, or gone without a stop", unit: "0 or 1", show: yes },
  slot_lag_bytes: { title: "lag of a slot", unit: "bytes", show: bytes },
  slot_retained_bytes: { title: "WAL that a slot keeps", unit: "bytes", show: bytes },
  slot_lost: { title: "a slot is lost or missing", unit: "0 or 1", show: yes },
};

/** @param {string} measure @param {number} value */
export const measured = (measure, value) => MEASURES[measure]?.show(value) ?? String(value);

/** What is measured, in words, and in which unit. @param {string} measure */
export const measureOf = (measure) => MEASURES[measure] ?? { title: measure, unit: "", show: String };
