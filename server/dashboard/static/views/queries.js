// Live queries: a long list, and one of them with how PostgreSQL would read it.

import { address } from "../lib/route.js";
import { clientText, milliseconds, NONE, number } from "../lib/values.js";
import { Block } from "../parts/block.js";
import { longList } from "../parts/list.js";
import { facts } from "../parts/tiles.js";
import { overNodes } from "../lib/queries.js";
import { h } from "../shared/lib/dom.js";
import { compact, perField } from "../shared/lib/format.js";

/** @typedef {import("../data/pages.js").Row} Row */
/** @typedef {import("../parts/page.js").Page} Page */

const COLLECTION = "realtime.stat_queries";

/** @type {Record<string, string>} */
const STRATEGIES = {
  incremental: "Followed by matching changes of rows, without a read of the database.",
  "re-read": "Read from the database again after changes that could concern it.",
};

/** @param {Row} row */
const strategy = (row) =>
  h(
    "button.badge",
    {
      type: "button",
      "data-strategy": row.strategy,
      "data-tip": `${STRATEGIES[row.strategy] ?? ""} ${row.reason ? `Why: ${row.reason}` : ""}`.trim(),
    },
    row.strategy,
  );

/** @param {Row} row */
const perRead = (row) => (row.reads ? milliseconds(row.readMs / row.reads) : NONE);
const cost = (/** @type {number|null} */ n) => (n === null ? NONE : compact(n));

/** @param {Page} page */
export function queries(page) {
  longList(page, {
    title: "Live queries",
    path: "/live-queries",
    field: "queries",
    key: (row) => row.queryId,
    orders: [
      ["-readMs", "Most time to read"],
      ["-subscribers", "Most subscribers"],
    ],
    live: {
      collection: COLLECTION,
      orders: { "-readMs": [["readMs", "desc"], "queryId"], "-subscribers": [["subscribers", "desc"], "queryId"] },
      rows: (rows, { search, sort }) => {
        const wanted = search.toLowerCase();
        const found = overNodes(rows).filter(
          ({ queryId, collection, query: text }) =>
            queryId === search || [collection, text].some((each) => each.toLowerCase().includes(wanted)),
        );
        const by = sort.slice(1);
        return found.sort((a, b) => b[by] - a[by] || (a.queryId < b.queryId ? -1 : 1));
      },
    },
    hint: "Collection, query or id",
    nothing: "No live query matches.",
    columns: [
      {
        title: "Collection",
        cell: (row) => h("a", { href: address("queries", row.queryId) }, clientText(row.collection)),
      },
      { title: "Strategy", look: "badges", cell: strategy },
      { title: "Query", look: "mono wide query-text", cell: (row) => clientText(row.query, 200) },
      { title: "Role", look: "medium", cell: (row) => row.role },
      { title: "Subscribers", look: "num", cell: (row) => number(row.subscribers) },
      { title: "Rows", look: "num medium", cell: (row) => number(row.rows) },
      { title: "Reads", look: "num medium", cell: (row) => number(row.reads) },
      { title: "Per read", look: "num medium", cell: perRead },
      { title: "Cost", look: "num wide", cell: (row) => cost(row.cost) },
    ],
  });
}

/** @param {Page} page */
export function query(page) {
  const id = page.route.subject ?? "";
  page.root.append(h("p.back", {}, h("a", { href: address("queries") }, "Live queries")));
  page.heading("Live query");
  const block = page.add(new Block("State", { quiet: true }));
  const known = page.rows(COLLECTION, { where: [["queryId", "==", id]] }, async (signal) => {
    return (await page.api.get("/live-queries", { queryId: id }, signal)).queries;
  });
  page.watch(
    block,
    known.as((rows) => overNodes(rows)),
    ([row]) => {
      if (!row) return block.note("No node keeps this query any more.");
      const focused = block.body.contains(document.activeElement);
      if (!focused) block.body.replaceChildren(facts(fieldsOf(row)));
    },
  );
  explain(page, id);
}

/** @param {Row} row @returns {[string, Node|string|null][]} */
function fieldsOf(row) {
  return [
    ["Collection", clientText(row.collection)],
    ["Strategy", h("span", {}, strategy(row), ` ${row.reason ?? ""}`)],
    ["Role", row.role],
    ["Subscribers", number(row.subscribers)],
    ["Rows", number(row.rows)],
    ["Reads", `${number(row.reads)}, ${milliseconds(row.readMs)} altogether, ${perRead(row)} each`],
    ["Cost", cost(row.cost)],
    ["Nodes", row.nodes.join(", ")],
    ["Id", h("span.mono", {}, row.queryId)],
    [
      "Query",
      h("pre.json", { tabindex: "0", role: "region", "aria-label": "Query" }, clientText(pretty(row.query), 2000)),
    ],
  ];
}

/** The first 1,000 characters of JSON, which may be cut. @param {string} text */
function pretty(text) {
  try {
    return perField(JSON.parse(text));
  } catch {
    return text;
  }
}

/** @param {Page} page @param {string} id */
function explain(page, id) {
  const button = h("button.button", { type: "button", onclick: run }, "Explain");
  const block = page.add(
    new Block("Explain", {
      tip: "PostgreSQL’s plan for the read of this query (EXPLAIN). Nothing is read.",
      actions: [button],
    }),
  );
  block.note("The statement and its plan appear here.");

  async function run() {
    button.ariaDisabled = "true";
    try {
      const {
        strategy: how,
        reason,
        sql,
        parameters,
        plan,
        note,
      } = await page.api.get(`/live-queries/${encodeURIComponent(id)}/explain`, {}, page.signal);
      block.ready();
      block.body.replaceChildren(
        h(
          "div.explained",
          {},
          h("p", {}, h("b", {}, how), reason ? `: ${reason}` : ""),
          note && h("p", {}, note),
          ...preformatted("Statement", sql),
          ...preformatted("Parameters", parameters?.length ? parametersOf(parameters) : null),
          ...preformatted("Plan", plan),
        ),
      );
    } catch (error) {
      block.failed(error);
    }
    button.ariaDisabled = "false";
  }
}

/** @param {(string|null)[]} values */
const parametersOf = (values) => values.map((value, i) => `$${i + 1} = ${value ?? "null"}`).join("\n");

/** @param {string} title @param {string|null} text @returns {Node[]} */
const preformatted = (title, text) =>
  text === null
    ? []
    : [
        h("h3", {}, title),
        h("pre.json", { tabindex: "0", role: "region", "aria-label": title }, clientText(text, 20_000)),
      ];
