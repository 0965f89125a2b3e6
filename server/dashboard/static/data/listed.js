// A long list: what comes without asking, as long as that is there, else pages of the API.

import { Pages } from "./pages.js";

/** @typedef {import("./pages.js").Row} Row */

export class Listed {
  #pages;
  #followed;
  #matches;
  /** @type {Row[]|null} */ #rows = null;

  /**
   * @param {ConstructorParameters<typeof Pages>[0]} read
   * @param {import("./feed.js").Followed} [followed]
   * @param {(row: Row) => boolean} [matches] which of the followed rows are in the list
   */
  constructor(read, followed, matches = () => true) {
    this.#pages = new Pages(read);
    this.#followed = followed;
    this.#matches = matches;
  }

  /** Follow it no more. */
  leave() {
    this.#followed?.stop();
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

  /** What is followed as new rows, so that times since are drawn again; else those from `from` up to `to` are read. @param {number} from @param {number} to */
  async refresh(from, to) {
    const rows = (await this.#followed?.rows()) ?? null;
    this.#rows = rows?.filter(this.#matches).map((row) => ({ ...row })) ?? null;
    if (this.#rows === null) await this.#pages.refresh(from, to);
  }
}
