// The SQL box: type, run, and read in plain words what happened and when it was on screen.

import { byId, h, setText } from "../shared/lib/dom.js";
import { EXAMPLES } from "./examples.js";
import { count, milliseconds, plural } from "../shared/lib/format.js";

/** @typedef {import("../data/database.js").Run} Run */
/** @typedef {import("../data/database.js").Result} Result */

const LOG_LENGTH = 8;
const VERBS = { INSERT: "inserted", UPDATE: "changed", DELETE: "deleted", MERGE: "merged" };

/**
 * @param {{database: import("../data/database.js").Database, room: () => string}} page
 */
export function startConsole({ database, room }) {
  const box = byId("statement");
  const isApple = /Mac|iP(hone|ad|od)/.test(navigator.platform);
  setText(byId("run-key"), isApple ? "⌘" : "Ctrl");

  byId("examples").append(
    ...EXAMPLES.map(({ title, sql }) => h("button.chip", { type: "button", onclick: () => fill(sql(room())) }, title)),
  );
  function fill(/** @type {string} */ sql) {
    box.value = sql;
    box.focus({ preventScroll: true });
  }
  box.value = EXAMPLES[0].sql(room());

  let running = false;
  byId("console-form").addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (running || !box.value.trim()) return;
    running = true;
    byId("run").setAttribute("aria-disabled", "true");
    const sql = selectedText(box) || box.value;
    await database.run(sql, [], { typed: true });
    running = false;
    byId("run").removeAttribute("aria-disabled");
  });
  box.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      byId("console-form").requestSubmit();
    }
  });

  /** @type {Run|null} */
  let latest = null;
  database.addEventListener("started", (event) => {
    const run = runOf(event);
    log(run);
    if (!run.typed) return;
    latest = run;
    byId("result").replaceChildren(h("p.quiet", {}, "Running…"));
  });
  for (const name of ["finished", "painted"]) {
    database.addEventListener(name, (event) => {
      const run = runOf(event);
      log(run);
      if (run === latest) showResult(run, { table: name === "finished" });
    });
  }
  startToggle();
}

const runOf = (/** @type {Event} */ event) => /** @type {CustomEvent<Run>} */ (event).detail;

const selectedText = (/** @type {HTMLTextAreaElement} */ box) =>
  box.value.slice(box.selectionStart, box.selectionEnd).trim();

/**
 * @param {Run} run
 * @param {{table: boolean}} what
 */
function showResult(run, { table }) {
  const { answer, failure, paints } = run;
  if (failure) {
    byId("result").replaceChildren(
      h("p.failure", {}, h("b", {}, failure.message)),
      failure.detail ? h("p", {}, failure.detail) : "",
      failure.hint ? h("p.quiet", {}, failure.sqlstate ? `Hint: ${failure.hint}` : failure.hint) : "",
      h(
        "p.quiet",
        {},
        where(run),
        failure.undone ? "Nothing was changed." : "",
        failure.sqlstate ? ` SQLSTATE ${failure.sqlstate}` : "",
      ),
    );
  } else if (answer) {
    byId("result").classList.toggle("wrote", answer.outcome === "committed");
    byId("result").replaceChildren(
      h("p", {}, h("b", {}, inWords(run)), h("span.quiet", {}, ` ${milliseconds(answer.runMs)}`)),
      paintsLine(paints) ?? "",
    );
  }
  if (table) showTable(answer?.results.findLast((result) => result.columns.length > 0));
}

/** Where Postgres saw the error, as a line of what was typed. */
function where(/** @type {Run} */ { sql, failure }) {
  if (!failure?.at) return "";
  const before = [...sql].slice(0, failure.at - 1).join("");
  const line = before.split("\n").length;
  return sql.includes("\n") ? `Line ${line}. ` : "";
}

/** What the statements did, as a sentence. */
function inWords(/** @type {Run} */ { answer }) {
  if (!answer) return "";
  const { results, outcome } = answer;
  // ROLLBACK TO a savepoint has the same tag, but then the transaction goes on and is committed.
  const rolledBack = outcome === "own transaction" && results[results.length - 1]?.command === "ROLLBACK";
  if (rolledBack && !committedInside(results))
    return "Rolled back. Nothing was changed, and no client was sent anything.";
  const parts = results
    .filter(({ command }) => command && !["BEGIN", "COMMIT", "SET"].includes(command))
    .map(commandInWords);
  if (!parts.length) return "Nothing to do.";
  if (parts.length > 3) parts.splice(2, parts.length - 2, `and ${parts.length - 2} more`);
  const sentence = parts.join(", ");
  return sentence[0].toUpperCase() + sentence.slice(1) + (outcome === "committed" ? ", committed." : ".");
}

const committedInside = (/** @type {Result[]} */ results) => results.some(({ command }) => command === "COMMIT");

function commandInWords(/** @type {Result} */ { command, rows }) {
  const verb = VERBS[/** @type {keyof typeof VERBS} */ (command)];
  if (verb) return `${plural(rows ?? 0, "row")} ${verb}`;
  if (command === "SELECT") return `${plural(rows ?? 0, "row")} returned`;
  return `${command.toLowerCase()} done`;
}

/** "On screen after: Messages 14 ms, Orders 16 ms". */
function paintsLine(/** @type {Map<string, number>} */ paints) {
  if (!paints.size) return null;
  const parts = [...paints].map(([label, ms]) => h("span", {}, `${label} `, h("b", {}, milliseconds(ms))));
  return h("p.paints", {}, h("span.quiet", {}, "On screen after"), ...parts);
}

/** The rows of the last result that has any. */
function showTable(/** @type {Result|undefined} */ result) {
  const box = byId("result-table");
  box.hidden = !result;
  if (!result) return;
  const head = h("tr", {}, ...result.columns.map((name) => h("th", { scope: "col" }, name)));
  const rows = result.values.map((row) =>
    h("tr", {}, ...row.map((value) => (value === null ? h("td.null", {}, "null") : h("td", {}, value)))),
  );
  const more = (result.rows ?? 0) - rows.length;
  box.replaceChildren(
    h("table.grid", {}, h("thead", {}, head), h("tbody", {}, ...rows)),
    more > 0 ? h("p.note", {}, `and ${count(more)} more that are not shown`) : "",
  );
}

/** @type {Map<number, HTMLElement>} */
const entries = new Map();

/** Newest first; an entry is filled in as its answer and its paints arrive. */
function log(/** @type {Run} */ run) {
  const box = byId("log");
  let entry = entries.get(run.id);
  if (!entry) {
    if (entries.size === 0) box.replaceChildren();
    entry = h("li", {}, h("code", { title: run.sql }, run.sql.replace(/\s+/g, " ")), h("span.log-result"));
    entries.set(run.id, entry);
    box.prepend(entry);
    while (box.children.length > LOG_LENGTH) box.lastElementChild.remove();
  }
  const first = run.paints.values().next();
  const outcome = run.failure ? run.failure.message : run.answer ? inWords(run) : "running…";
  const painted = first.done ? "" : ` On screen after ${milliseconds(first.value)}.`;
  entry.classList.toggle("failed", Boolean(run.failure));
  setText(/** @type {Element} */ (entry.lastElementChild), outcome + painted);
  setText(byId("peek"), outcome + painted);
}

/** On small screens the box is a sheet at the bottom that opens and closes. */
function startToggle() {
  const sheet = byId("console");
  const toggle = byId("console-toggle");
  toggle.addEventListener("click", () => {
    const open = sheet.dataset.open !== "true";
    sheet.dataset.open = String(open);
    toggle.setAttribute("aria-expanded", String(open));
    setText(toggle, open ? "Close" : "Open");
    if (open) byId("statement").focus({ preventScroll: true });
  });
}
