// Running SQL through the server, for the SQL box and for every button that writes.

/** @typedef {{command: string, rows: number|null, columns: string[], values: (string|null)[][]}} Result */
/**
 * @typedef {object} Answer
 * @property {string} command
 * @property {number|null} rows
 * @property {Result[]} results
 * @property {"committed"|"nothing to commit"|"own transaction"} outcome
 * @property {string} position
 * @property {string} positionEnd
 * @property {number} runMs
 * @property {number|null} commitMs
 * @property {number} totalMs
 */
/** @typedef {{message: string, detail?: string|null, hint?: string|null, sqlstate?: string|null, at?: number|null, undone?: boolean}} Failure */
/**
 * @typedef {object} Run one statement on its way from this tab
 * @property {number} id
 * @property {string} sql
 * @property {boolean} typed whether it came from the SQL box
 * @property {Answer} [answer]
 * @property {Failure} [failure]
 * @property {Map<string, number>} paints
 */

/** Dispatches `started`, `finished` and `painted` with the run as `detail`. */
export class Database extends EventTarget {
  #latency;
  #nextId = 1;

  /** @param {import("./latency.js").Latency} latency */
  constructor(latency) {
    super();
    this.#latency = latency;
  }

  /**
   * Run SQL in one transaction. Never rejects: what went wrong is in `failure`.
   * @param {string} sql
   * @param {(string|number|boolean|null)[]} [params] then it must be a single statement
   * @param {{typed?: boolean}} [how]
   * @returns {Promise<Run>}
   */
  async run(sql, params = [], { typed = false } = {}) {
    /** @type {Run} */
    const run = { id: this.#nextId++, sql: withParams(sql, params), typed, paints: new Map() };
    this.#notify("started", run);
    const sentAt = performance.now();
    const { answer, failure } = await post({ sql, params });
    const receivedAt = performance.now();
    run.answer = answer;
    run.failure = failure;
    this.#notify("finished", run);
    if (answer) {
      this.#latency.measure(answer, sentAt, receivedAt, (paints) => {
        run.paints = paints;
        this.#notify("painted", run);
      });
    }
    return run;
  }

  /**
   * @param {string} name
   * @param {Run} run
   */
  #notify(name, run) {
    this.dispatchEvent(new CustomEvent(name, { detail: run }));
  }
}

/**
 * @param {object} body
 * @returns {Promise<{answer?: Answer, failure?: Failure}>}
 */
async function post(body) {
  try {
    const response = await fetch("/demo/sql", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const content = await response.json();
    if (!response.ok) return { failure: { message: content.detail ?? `the server answered ${response.status}` } };
    return content.error ? { failure: content.error } : { answer: content };
  } catch {
    return {
      failure: {
        message: "The server does not answer.",
        hint: "Whether the statement was carried out is not known; the lists will show it once the page is connected again.",
      },
    };
  }
}

/** For the log only: the statement as one would type it. The server gets statement and parameters apart. */
function withParams(/** @type {string} */ sql, /** @type {(string|number|boolean|null)[]} */ params) {
  return sql.replace(/\$(\d+)/g, (whole, number) => {
    const value = params[Number(number) - 1];
    if (value === undefined) return whole;
    return typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value);
  });
}
