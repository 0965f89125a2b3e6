// Values of the server as people read them, besides the shared formats.

import { h } from "../shared/lib/dom.js";
import { compact, count, fullMoment } from "../shared/lib/format.js";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
const SPANS = /** @type {const} */ ([
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
]);

const ONE_LINE = 100;
/** From so many of a unit on the smaller ones are left away. */
const ROUND = 10;

/** What stands for a value that there is not. */
export const NONE = "–";

/** Multiples of 1,024: "640 B", "1.5 GB". @param {number|null|undefined} n */
export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  const power = Math.min(UNITS.length - 1, n < 1 ? 0 : Math.floor(Math.log2(n) / 10));
  const value = n / 1024 ** power;
  return `${power && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`;
}

/** A span in its two largest units, or in one where that is enough: "3 d 4 h", "23 min". @param {number|null|undefined} seconds */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 1) return seconds <= 0 ? "0 s" : `${Math.round(seconds * 1000)} ms`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of SPANS) {
    const n = Math.floor(rest / size);
    if (n) parts.push(`${n} ${unit}`);
    else if (parts.length) break;
    if (parts.length === 2 || n >= ROUND) break;
    rest -= n * size;
  }
  return parts.join(" ");
}

/** Seconds of an interval as PostgreSQL writes it: "1 day 02:03:04.5". @param {string|number|null|undefined} interval */
export function seconds(interval) {
  if (typeof interval !== "string") return interval;
  const [, sign, hours, minutes, rest] = /(-?)(\d+):(\d+):([\d.]+)/.exec(interval) ?? ["", "", "0", "0", "0"];
  const clock = Number(hours) * 3600 + Number(minutes) * 60 + Number(rest);
  const days = Number(/(-?\d+) days?/.exec(interval)?.[1] ?? 0);
  return days * 86_400 + (sign ? -clock : clock);
}

/** How long ago a moment was. @param {string|null|undefined} moment */
export function since(moment) {
  if (!moment) return NONE;
  return span(Math.max(0, (Date.now() - new Date(moment).valueOf()) / 1000));
}

/** A rate per second, with a digit behind the point where it is small. @param {number|null|undefined} n */
export function rate(n) {
  if (n === null || n === undefined) return NONE;
  return n >= 10_000 ? compact(n) : n < 10 ? String(Math.round(n * 10) / 10) : count(Math.round(n));
}

/** @param {number|null|undefined} n */
export const number = (n) => (n === null || n === undefined ? NONE : n >= 100_000 ? compact(n) : count(n));

/** @param {number|null|undefined} ms */
export function milliseconds(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(ms < 1 ? 2 : 1) : count(Math.round(ms))} ms`;
}

/** A moment as the time since then, and in full as its title. @param {string|null|undefined} moment */
export const time = (moment) =>
  moment ? h("time", { datetime: moment, title: fullMoment(moment) }, `${since(moment)} ago`) : NONE;

/** What shows as nothing or turns the text around it: control characters, and marks of direction (Unicode TR 9). */
const UNSEEN = /(?![\n\t\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const escaped = (/** @type {string} */ character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/**
 * Text that a client chose: in a direction of its own, with marks that are not seen spelled out, and cut where it is very long.
 * @param {unknown} text
 * @param {number} [longest] characters
 */
export function clientText(text, longest = 300) {
  const whole = String(text).replace(UNSEEN, escaped);
  const shown = whole.length > longest ? `${whole.slice(0, longest)}…` : whole;
  return h("bdi", { class: "client-text", title: whole.length > 24 ? whole.slice(0, 1000) : null }, shown);
}

/** Any JSON value as text: in one line where it is short, else indented. @param {unknown} value */
export function json(value) {
  const line = JSON.stringify(value) ?? NONE;
  return line.length > ONE_LINE ? JSON.stringify(value, null, 2) : line;
}
