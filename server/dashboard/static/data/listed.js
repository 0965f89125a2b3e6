// A long list: what comes without asking, as long as that is there, else pages of the API.

import { Pages } from "./pages.js";

/** @typedef {import("./pages.js").Row} Row */

export class Listed {
  #pages;
  #followed;
  #live;
  #trigger;
  /** @type {Row[]|null} */ #rows = null;
  /** @type {import("./feed.js").Followed|null} */ #figures = null;
  /** @type {Row[]|null} */ #seen = null;

  /**
   * @param {ConstructorParameters<typeof Pages>[0]} read
   * @param {import("./feed.js").Followed} followed
   * @param {(rows: Row[]) => Row[]} live those of the followed rows that are in the list, in its order
   * @param {() => import("./feed.js").Followed} trigger what changes with the list; only if that itself is not followed
   */
  constructor(read, followed, live, trigger) {
    this.#pages = new Pages(read);
    this.#followed = followed;
    this.#live = live;
    this.#trigger = trigger;
  }

  /** Follow it no more. */
  leave() {
    this.#followed.stop();
    this.#figures?.stop();
  }

  get length() {
    return this.#rows?.length ?? this.#pages.length;
  }

  get known() {
    return this.#rows !== null || this.#pages.known;
  }

  get complete() {
    return this.#rows !== null || this.#pages.complete;
  }

  /** Rows by index; those that are not known yet are undefined. @param {number} from @param {number} to @returns {(Row|undefined)[]} */
  rows(from, to) {
    return this.#rows?.slice(from, to) ?? this.#pages.rows(from, to);
  }

  /** Whether what is in sight is as of the figures that were seen last. @param {Row[]|null} figures @param {number} from @param {number} to */
  #current(figures, from, to) {
    return (
      figures !== null && figures === this.#seen && this.#pages.rows(from, Math.min(to, this.length)).every(Boolean)
    );
  }

  /** What is followed as new rows, so that times since are drawn again; else those from `from` up to `to` are read. @param {number} from @param {number} to */
  async refresh(from, to) {
    const rows = await this.#followed.rows();
    this.#rows = rows && this.#live(rows).map((row) => ({ ...row }));
    if (this.#rows !== null) return;
    this.#figures ??= this.#trigger();
    const figures = await this.#figures.rows();
    if (this.#current(figures, from, to)) return;
    await this.#pages.refresh(from, to);
    this.#seen = figures;
  }
}
