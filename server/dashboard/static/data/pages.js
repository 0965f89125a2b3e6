// A long list of the server, page by page, of which only what is looked at is kept up to date.

/** @typedef {Record<string, any>} Row */
/** @typedef {{rows: Row[], after: string|null, next: string|null}} Page a page begins behind `after`; `next` begins the following one */

const PAGE = 100;
/** What the server gives at most. */
const LARGEST = 1000;

/**
 * The pages that have been read, from the first one on without a gap. A page that is read again and ends elsewhere than
 * before makes those behind it unknown; they are read again when they are looked at.
 */
export class Pages {
  /** @type {Page[]} */ #pages = [];
  #read;
  /** @type {number|null} */ #total = null;

  /** @param {(query: {after: string|null, limit: number, count?: boolean}) => Promise<{rows: Row[], next: string|null, count?: number|null}>} read */
  constructor(read) {
    this.#read = read;
  }

  /** How many rows there are altogether, as far as known. */
  get length() {
    const known = this.#pages.reduce((sum, { rows }) => sum + rows.length, 0);
    return this.complete ? known : Math.max(this.#total ?? 0, known + 1);
  }

  /** Whether `length` is that, and not only the least that it can be. */
  get known() {
    return this.complete || this.#total !== null;
  }

  get complete() {
    const last = this.#pages.at(-1);
    return last !== undefined && last.next === null;
  }

  /** Rows by index; those that are not known yet are undefined. @param {number} from @param {number} to @returns {(Row|undefined)[]} */
  rows(from, to) {
    const found = Array.from({ length: Math.max(0, to - from) }, () => /** @type {Row|undefined} */ (undefined));
    let start = 0;
    for (const { rows } of this.#pages) {
      for (let i = Math.max(from, start); i < Math.min(to, start + rows.length); i++) found[i - from] = rows[i - start];
      start += rows.length;
    }
    return found;
  }

  /** Read the page of `from` and those up to `to` again, and whatever is missing before them. @param {number} from @param {number} to */
  async refresh(from, to) {
    let start = 0;
    for (let i = 0; i === 0 || (start < to && this.#pages[i - 1].next !== null); i++) {
      const known = this.#pages[i];
      if (!known || start + known.rows.length > from || i === 0)
        await this.#readPage(i, known ? known.rows.length : to - start);
      start += this.#pages[i].rows.length;
    }
  }

  /** @param {number} i @param {number} wanted rows */
  async #readPage(i, wanted) {
    const after = i === 0 ? null : this.#pages[i - 1].next;
    const limit = wanted > 2 * PAGE ? LARGEST : PAGE;
    const { rows, next, count } = await this.#read({ after, limit, ...(i === 0 && { count: true }) });
    if (typeof count === "number") this.#total = count;
    const same = this.#pages[i]?.next === next;
    this.#pages.splice(i, same ? 1 : Infinity, { rows, after, next });
  }
}
