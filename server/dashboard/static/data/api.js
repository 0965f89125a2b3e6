// Requests to the REST API, with the key of this tab. It knows whether the server answers, and nothing about the page.

const KEY = "bunbase-dashboard-key";
const TIMEOUT = 30_000;
/** Without any answer for this time the server counts as away, though an answer may come. */
const SILENCE = 6_000;

/** The server refused: `status` and `code` as in the problem document (RFC 9457), the message for people. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   */
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The server did not answer. */
export class Away extends Error {}

/** Dispatches `state` when the server stops or starts to answer, and `refused` with the problem when it wants another key. That which it refused is forgotten. */
export class Api extends EventTarget {
  /** @type {"connecting"|"connected"|"waiting"} */ state = "connecting";
  #key = stored();
  #answered = 0;

  /** Whether requests carry a key. */
  get keyed() {
    return this.#key !== null;
  }

  /** What requests carry; null: nothing. */
  get key() {
    return this.#key;
  }

  /** Take this key from now on, for as long as the tab is open; null: none. @param {string|null} key */
  use(key) {
    this.#key = key;
    try {
      if (key === null) sessionStorage.removeItem(KEY);
      else sessionStorage.setItem(KEY, key);
    } catch {
      // storage is blocked: the key lasts until the page is loaded again
    }
  }

  /**
   * @param {string} path below /realtime
   * @param {Record<string, any>} [query] without what is null, undefined or ""
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  get(path, query = {}, signal) {
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = String(new URLSearchParams(given.map(([name, value]) => [name, String(value)])));
    return this.#ask(`${path}${text ? "?" : ""}${text}`, { signal });
  }

  /**
   * @param {"POST"|"PATCH"|"DELETE"} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>} null if the answer has no content
   */
  send(method, path, body) {
    const json = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    return this.#ask(path, { method, ...json });
  }

  /**
   * @param {string} path
   * @param {{method?: string, headers?: Record<string, string>, body?: string, signal?: AbortSignal}} request
   */
  async #ask(path, { headers = {}, signal, ...request }) {
    const asked = this.#key;
    const credentials = asked === null ? {} : { Authorization: `Bearer ${asked}` };
    const limits = [AbortSignal.timeout(TIMEOUT), ...(signal ? [signal] : [])];
    const began = performance.now();
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    let silent;
    const look = () => {
      const left = Math.max(began, this.#answered) + SILENCE - performance.now();
      if (left > 0) silent = setTimeout(look, left);
      else this.#become("waiting");
    };
    look();
    let response, content;
    try {
      response = await fetch(`/realtime${path}`, {
        ...request,
        headers: { ...headers, ...credentials },
        signal: AbortSignal.any(limits),
        cache: "no-store",
      });
      content = response.status === 204 ? null : await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      this.#become("waiting");
      throw new Away("The server does not answer.");
    } finally {
      clearTimeout(silent);
    }
    this.#answered = performance.now();
    this.#become("connected");
    if (response.ok) return content;
    const problem = new Problem(response.status, content.code ?? "", content.detail ?? content.title ?? "refused");
    // An answer to a key that has been replaced meanwhile is of no interest.
    if (response.status === 401 && asked === this.#key) {
      this.use(null);
      this.dispatchEvent(new CustomEvent("refused", { detail: problem }));
    }
    throw problem;
  }

  /** @param {Api["state"]} state */
  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}
