// A long list as a chain of live pages, each with its own cursors, so that "load older" never leaves a gap or a double row.
// Every page but the last reaches from its cursor to the next one and has no limit: a row that is added among them makes its
// page longer. Only the last page has a limit, and shows whether there is more.

/** @typedef {import("../shared/data/changes.js").Doc} Doc */
/** @typedef {import("../shared/data/live.js").Live} Live */
/** @typedef {{query: Record<string, any>, docs: Doc[], subscription: any, loaded: boolean}} Page */
/**
 * @typedef {object} Options
 * @property {object[]} where
 * @property {[string, "asc"|"desc"][]} orderBy total: the last field must be unique
 * @property {number} size
 * @property {() => void} onChange
 * @property {(strategy: string, reason?: string) => void} onSubscribed
 * @property {(message: string) => void} onError
 * @property {(event: {position: string, reset: boolean, arrivedAt: number}) => void} onEvent
 */

export class Pages {
  #live;
  #collection;
  #options;
  /** @type {Page[]} */ #pages = [];

  /**
   * @param {Live} live
   * @param {string} collection
   * @param {Options} options
   */
  constructor(live, collection, options) {
    this.#live = live;
    this.#collection = collection;
    this.#options = options;
    this.#add({ limit: options.size });
  }

  /** The query of the first page, as it was before there was a second one. */
  get first() {
    const { where, orderBy, size } = this.#options;
    return { where, orderBy, limit: size };
  }

  /** All pages have had their first event. */
  get loaded() {
    return this.#pages.every((page) => page.loaded);
  }

  /** The last page is full, so there may be older rows. */
  get hasMore() {
    const last = this.#pages[this.#pages.length - 1];
    return last.loaded && last.docs.length >= this.#options.size;
  }

  /** The rows of all pages. While two pages change hands a row can be in both; it is shown once. */
  get docs() {
    const seen = new Set();
    return this.#pages.flatMap((page) => page.docs).filter(({ id }) => !seen.has(id) && seen.add(id));
  }

  /** Close the last page at its last row and open another one behind it. */
  loadOlder() {
    if (!this.hasMore) return;
    const last = this.#pages[this.#pages.length - 1];
    const { data } = last.docs[last.docs.length - 1];
    const cursor = this.#options.orderBy.map(([field]) => data[field]);
    const { startAfter } = last.query;
    this.#replace(last, startAfter ? { startAfter, endAt: cursor } : { endAt: cursor });
    this.#add({ startAfter: cursor, limit: this.#options.size });
  }

  cancel() {
    for (const page of this.#pages) page.subscription.cancel();
  }

  /** @param {object} range */
  #add(range) {
    /** @type {Page} */
    const page = { query: {}, docs: [], subscription: null, loaded: false };
    this.#pages.push(page);
    this.#subscribe(page, range);
  }

  /** The page keeps its rows until the new subscription's first event. */
  #replace(/** @type {Page} */ page, /** @type {object} */ range) {
    page.subscription.cancel();
    this.#subscribe(page, range);
  }

  /**
   * @param {Page} page
   * @param {object} range
   */
  #subscribe(page, range) {
    const { where, orderBy, onChange, onSubscribed, onError, onEvent } = this.#options;
    page.query = { where, orderBy, ...range };
    page.subscription = this.#live.subscribe(this.#collection, page.query, {
      onSubscribed,
      onError,
      onChange: (docs, event) => {
        page.docs = docs;
        page.loaded = true;
        onEvent(event);
        onChange();
      },
    });
  }
}
