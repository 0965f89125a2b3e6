// What has arrived from the server, whatever it is: the header counts it, tabs mark it, latency times it.

/** @typedef {{view: string, label: string, position: string, at: bigint, past: boolean}} Arrival `position`: where its change was committed; `at`: the same as a number; `past`: it was there before this page */

/** Dispatches `arrived` with an arrival as `detail`. What it belongs to is drawn in the next frame. */
export class Feed extends EventTarget {
  /** Where the log was when the first list was read. @type {bigint|null} */ #began = null;

  /**
   * A snapshot of a live query.
   * @param {string} view which shows it
   * @param {string} label what the list is called
   * @param {string} position
   * @param {boolean} answer it answers a request for the list, and is no change
   */
  snapshot(view, label, position, answer) {
    const at = parsePosition(position);
    this.#began ??= at;
    this.#arrived({ view, label, position, at, past: answer });
  }

  /**
   * A message of a channel; returns whether it was there before this page.
   * @param {string} view
   * @param {string} label
   * @param {string} position
   */
  message(view, label, position) {
    const at = parsePosition(position);
    const past = this.#began === null || at <= this.#began;
    this.#arrived({ view, label, position: position.split("/", 2).join("/"), at, past });
    return past;
  }

  #arrived(/** @type {Arrival} */ arrival) {
    this.dispatchEvent(new CustomEvent("arrived", { detail: arrival }));
  }
}

/**
 * A position as a number that can be compared: "0/16B3748" (or "0/16B3748/3", whose index is ignored).
 * @param {string} text
 * @returns {bigint}
 */
export function parsePosition(text) {
  const [high, low] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
