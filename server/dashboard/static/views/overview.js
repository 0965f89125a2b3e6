// How the service is doing: figures, rates, latency by stage, open alerts, nodes.

import { RateLog } from "../data/rates.js";
import { address } from "../lib/route.js";
import { bytes, milliseconds, number, rate, since, time } from "../lib/values.js";
import { Block } from "../parts/block.js";
import { alertTable } from "../parts/alerts.js";
import { FIGURES } from "../parts/page.js";
import { table } from "../parts/table.js";
import { lampWord, tiles } from "../parts/tiles.js";
import { h, setText } from "../shared/lib/dom.js";
import { count, plural } from "../shared/lib/format.js";
import { plot } from "../shared/parts/plot.js";
import { openAlerts } from "./alerts.js";
import { slotRows } from "./slots.js";

/** @typedef {import("../data/pages.js").Row} Row */

const rates = new RateLog(); // lasts longer than the view, so that its plot does not begin anew
const clock = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** Those that latencies are of (`realtime.stat_latency`). */
const MINUTES = 5;

/** In the order in which a message passes them. @type {Record<string, string>} */
const STAGES = {
  feed: "Commit to feed",
  apply: "Feed to applied",
  encode: "Applied to encoded",
  write: "Encoded to written",
  total: "Commit to written",
};
/** Open alerts, of those that there are. */
const SHOWN = 20;

/** @type {Record<string, "good"|"warn"|"bad"|"">} */
export const LEVELS = {
  ok: "good",
  relay: "good",
  starting: "",
  draining: "warn",
  degraded: "warn",
  stopped: "",
  expired: "bad",
};

/** @param {import("../parts/page.js").Page} page */
export function overview(page) {
  page.heading("Overview");
  const now = page.add(new Block("Now", { quiet: true }));
  const pair = h("div.pair");
  page.root.append(pair);
  const flow = page.add(
    new Block("Messages per second", { tip: "Since this page was opened; the longest is five minutes." }),
    pair,
  );
  showLatency(page, pair);
  showAlerts(page);
  const nodes = page.add(new Block("Nodes"));
  showFigures(page, { now, flow, nodes });
}

/** @param {import("../parts/page.js").Page} page @param {{now: Block, flow: Block, nodes: Block}} blocks that the same answers fill */
function showFigures(page, { now, flow, nodes }) {
  const figures = tiles([
    ["connections", "Connections"],
    ["subscriptions", "Subscriptions", "Subscriptions of connections to channels, over all nodes."],
    ["queries", "Live queries", "Subscriptions to live queries, over all nodes. Equal ones share one query."],
    ["messages", "Messages/s", "Messages of channels, per second, that the stream brought to the nodes."],
    ["reads", "Reads/s", "Reads of the database for live queries, per second."],
    ["lag", "Feed lag", "WAL between the database’s end and what the slowest slot of the nodes has confirmed."],
    ["retained", "WAL kept", "WAL that the slots of the nodes keep from being removed."],
    ["nodes", "Nodes", "Nodes that run well, of those that are registered and have clients: not relays."],
  ]);
  now.body.append(figures.element);
  const chart = rateChart(flow);
  const list = table("Nodes", NODES, "No node is registered.");
  nodes.body.append(list.element);

  const known = page.rows(
    FIGURES,
    { orderBy: ["node"] },
    async (signal) => (await page.api.get("/nodes", {}, signal)).nodes,
  );
  page.watch(now, known.with(slotRows(page)), ([rows, slots]) => {
    const { messages, reads } = rates.add(rows);
    const sum = (/** @type {string} */ name) => rows.reduce((total, row) => total + (row[name] ?? 0), 0);
    figures.set("connections", number(sum("connections")));
    figures.set("subscriptions", number(sum("subscriptions")));
    figures.set("queries", number(sum("querySubscriptions")));
    figures.set("messages", rate(messages));
    figures.set("reads", rate(reads));
    const own = slots.filter((slot) => slot.own);
    const most = (/** @type {string} */ name) => Math.max(0, ...own.map((slot) => slot[name] ?? 0));
    figures.set("lag", own.length ? bytes(most("lagBytes")) : "–");
    figures.set("retained", own.length ? bytes(most("retainedBytes")) : "–");
    const well = rows.filter(({ state }) => state === "ok").length;
    const all = rows.filter(({ state }) => state !== "relay").length;
    figures.set("nodes", `${well} of ${all}`, well === all ? "" : "warn");
    flow.ready();
    chart.draw(rates.points.map((point) => ({ ...point, value: point.messages })));
    nodes.ready();
    list.draw(rows);
  });
}

/** @type {import("../parts/table.js").Column[]} */
const NODES = [
  { title: "Node", cell: (row) => row.node },
  {
    title: "State",
    cell: (row) =>
      h(
        "span",
        { title: row.reason },
        lampWord(row.state, LEVELS[row.state] ?? "bad"),
        row.reason ? h("span.quiet", {}, ` ${row.reason}`) : "",
      ),
  },
  { title: "Connections", look: "num", cell: (row) => number(row.connections) },
  { title: "Channels", look: "num medium", cell: (row) => number(row.channels) },
  { title: "Queries", look: "num medium", cell: (row) => number(row.queries) },
  { title: "Position", look: "mono wide", cell: (row) => row.position },
  { title: "Version", look: "wide", cell: (row) => row.version },
  { title: "Host", look: "wide", cell: (row) => `${row.host ?? "–"} · ${row.pid ?? "–"}` },
  { title: "Up", look: "num", cell: (row) => since(row.startedAt) },
];

/** @param {Block} block */
function rateChart(block) {
  const readout = h("p.readout", { "aria-live": "off" });
  const box = h("div.plot");
  block.element.classList.add("chart");
  block.body.append(readout, box);
  return plot(box, readout, {
    kind: "line",
    slots: 60,
    label: ({ at }) => (at === rates.points.at(-1)?.at ? "now" : clock.format(at)),
    read: ({ at, value, reads }) => `${clock.format(at)}: ${rate(value)} messages, ${rate(reads)} reads per second`,
    name: (points) => `Line of messages per second, ${plural(points.length, "point")}.`,
    nothing: "Nothing was measured yet.",
  });
}

/** @param {import("../parts/page.js").Page} page @param {Element} pair */
function showLatency(page, pair) {
  const block = page.add(
    new Block("Latency by stage", {
      tip: "From the commit in PostgreSQL to the last byte handed to the client’s connection, over all nodes. Half of the changes took at most p50, 95 % at most p95.",
    }),
    pair,
  );
  const body = h("tbody");
  const heads = ["Between", "", "p50", "p95", "p99"].map((title, i) =>
    title ? h("th", { scope: "col", class: i > 1 ? "num" : null }, title) : h("td.track"),
  );
  const over = h("p.quiet");
  block.body.append(h("table.bars.stages", {}, h("thead", {}, h("tr", {}, ...heads)), body), over);
  const known = page.rows(
    "realtime.stat_latency",
    {},
    async (signal) => (await page.api.get("/latency", {}, signal)).stages,
  );
  page.watch(
    block,
    known.as((rows) => Object.keys(STAGES).flatMap((name) => rows.filter(({ stage }) => stage === name))),
    (stages) => {
      const longest = Math.max(...stages.map((/** @type {Row} */ stage) => stage.p95Ms ?? 0), 0.001);
      body.replaceChildren(
        ...stages.map((/** @type {Row} */ stage) => {
          const bar = h("span.bar");
          bar.style.setProperty("--share", String((stage.p95Ms ?? 0) / longest));
          return h(
            `tr${stage.stage === "total" ? ".total" : ""}`,
            {},
            h("th", { scope: "row" }, STAGES[stage.stage] ?? stage.stage),
            h("td.track", { "aria-hidden": "true" }, bar),
            ...[stage.p50Ms, stage.p95Ms, stage.p99Ms].map((ms) => h("td.num", {}, milliseconds(ms))),
          );
        }),
      );
      const writes = stages.find((/** @type {Row} */ stage) => stage.stage === "total")?.count ?? 0;
      const within = `in the last ${plural(MINUTES, "minute")}`;
      setText(over, writes ? `${count(writes)} deliveries ${within}.` : `No deliveries ${within}.`);
    },
  );
}

/** @param {import("../parts/page.js").Page} page */
function showAlerts(page) {
  const block = page.add(
    new Block("Open alerts", { actions: [h("a.link", { href: address("alerts") }, "All alerts and rules")] }),
  );
  const list = alertTable("Open alerts", "No alert is open.", [
    { title: "Since", look: "num", cell: (row) => time(row.raisedAt) },
  ]);
  block.body.append(list.element);
  page.watch(block, openAlerts(page), (rows) => list.draw(rows.slice(0, SHOWN)));
}
