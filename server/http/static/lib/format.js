// Numbers, times and names as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const dayLocal = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const precise = new Intl.DateTimeFormat("en", { dateStyle: "long", timeStyle: "medium" });

export const count = (/** @type {number} */ n) => whole.format(n);
export const compact = (/** @type {number} */ n) => short.format(n);

/** "1 row", "2,000 rows". */
export const plural = (/** @type {number} */ n, /** @type {string} */ word) =>
  `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** "< 0.1 ms" for less than half of that, tenths below ten, whole milliseconds above, seconds from ten thousand. */
export function milliseconds(/** @type {number} */ ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 0.05) return "< 0.1 ms";
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** A moment today as "14:03", else as "Oct 12, 14:03", in the visitor's time zone. */
export function moment(/** @type {string} */ text) {
  const at = new Date(text);
  if (Number.isNaN(at.valueOf())) return text;
  const today = at.toDateString() === new Date().toDateString();
  return today ? clock.format(at) : `${dayLocal.format(at)}, ${clock.format(at)}`;
}

/** The same in full, for titles. */
export function fullMoment(/** @type {string} */ text) {
  const at = new Date(text);
  return Number.isNaN(at.valueOf()) ? text : precise.format(at);
}

/** Up to two letters for a name. */
export function initials(/** @type {string} */ name) {
  const words = name.trim().split(/\s+/);
  return [words[0], words.length > 1 ? words[words.length - 1] : ""]
    .map((word) => [...(word ?? "")][0] ?? "")
    .join("")
    .toUpperCase();
}

/** A number from 0 to `n - 1` that is always the same for a name. */
export function bucket(/** @type {string} */ name, /** @type {number} */ n) {
  let sum = 7;
  for (const letter of name) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  return sum % n;
}

/** An object as JSON with a line for each field: easier to read than spread over thirty lines. @param {object} value */
export const perField = (value) =>
  `{\n${Object.entries(value)
    .map(([name, field]) => `  "${name}": ${JSON.stringify(field)}`)
    .join(",\n")}\n}`;
