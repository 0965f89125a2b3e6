// What happened over hours and weeks: plots, popular channels, countries, peak times.

import { Block } from "../parts/block.js";
import { heatmap } from "../parts/heatmap.js";
import { USAGE } from "../parts/page.js";
import { seriesPlot } from "../parts/series.js";
import { table } from "../parts/table.js";
import { tiles } from "../parts/tiles.js";
import { address } from "../lib/route.js";
import { clientText, number, span } from "../lib/values.js";
import { h } from "../shared/lib/dom.js";

/** @typedef {import("../data/pages.js").Row} Row */
/** @typedef {import("../parts/page.js").Page} Page */
/** @typedef {{name: string, title: string, seconds: number, bucket: "minute"|"hour"|"day"}} Range */

const HOUR = 3600;
const DAY = 24 * HOUR;
/** @type {Range[]} */
const RANGES = [
  { name: "hour", title: "Last hour", seconds: HOUR, bucket: "minute" },
  { name: "day", title: "Last 24 hours", seconds: DAY, bucket: "hour" },
  { name: "week", title: "Last 7 days", seconds: 7 * DAY, bucket: "hour" },
  { name: "month", title: "Last 30 days", seconds: 30 * DAY, bucket: "day" },
  { name: "year", title: "Last 12 months", seconds: 365 * DAY, bucket: "day" },
];
const SIZES = { minute: 60, hour: HOUR, day: DAY };
const EVERY = 60_000;

/** @type {{metric: string, title: string, tip: string, kind: "bars"|"line"}[]} */
const METRICS = [
  {
    metric: "activeUsers",
    title: "Active users",
    tip: "Different users that were connected. Clients without a user id are not counted.",
    kind: "bars",
  },
  { metric: "connections", title: "Connections at the same time", tip: "The most at the same time.", kind: "line" },
  { metric: "messages", title: "Messages published", tip: "In channels, by clients, REST and SQL.", kind: "bars" },
  {
    metric: "messagesOut",
    title: "Messages delivered",
    tip: "Events, answers and errors that were written to clients.",
    kind: "bars",
  },
  { metric: "sessions", title: "Sessions", tip: "Connections that began.", kind: "bars" },
  {
    metric: "channels",
    title: "Active channels",
    tip: "The most channels with a message in one minute.",
    kind: "bars",
  },
];

const regions = new Intl.DisplayNames(["en"], { type: "region", fallback: "none" });

/** @param {Page} page */
export function analytics(page) {
  const chosen = RANGES.find(({ name }) => name === page.route.query.get("range")) ?? RANGES[1];
  const select = /** @type {HTMLSelectElement} */ (
    h(
      "select",
      {},
      ...RANGES.map(({ name, title }) => h("option", { value: name, selected: name === chosen.name }, title)),
    )
  );
  select.addEventListener("change", () => location.assign(address("analytics", null, { range: select.value })));
  page.heading("Analytics", h("label.select", {}, h("span", {}, "Range"), select));
  const within = () => {
    const to = new Date();
    const from = new Date(to.valueOf() - (chosen.seconds - SIZES[chosen.bucket]) * 1000); // the present bucket is the last
    return { bucket: chosen.bucket, from: from.toISOString(), to: to.toISOString() };
  };

  summary(page, within);
  const plots = h("div.plots");
  page.root.append(plots);
  for (const { metric, ...look } of METRICS) {
    const block = page.add(new Block(look.title, { tip: look.tip }), plots);
    const chart = seriesPlot(block, look.title, look.kind);
    page.watch(
      block,
      whenCounted(page, (signal) => page.api.get("/analytics/series", { metric, ...within() }, signal)),
      ({ points }) => chart.draw(points, chosen.bucket),
      EVERY,
    );
  }
  const pair = h("div.pair");
  page.root.append(pair);
  popular(page, pair, within);
  countries(page, pair, within);
  peaks(page);
}

/** @param {Page} page @param {() => object} within */
function summary(page, within) {
  const block = page.add(new Block("Summary", { quiet: true }));
  const figures = tiles([
    ["activeUsers", "Users today", "Different users that were connected since midnight (UTC)."],
    ["sessions", "Sessions"],
    ["sessionSeconds", "Session length", "Of the sessions that ended, on average."],
    ["peakConnections", "Most connections"],
    ["messages", "Messages published"],
    ["messagesOut", "Messages delivered"],
  ]);
  block.body.append(figures.element);
  page.watch(
    block,
    whenCounted(page, (signal) => page.api.get("/analytics/summary", within(), signal)),
    (sums) => {
      for (const name of ["activeUsers", "sessions", "peakConnections", "messages", "messagesOut"])
        figures.set(name, number(sums[name]));
      figures.set("sessionSeconds", span(sums.sessionSeconds));
    },
    EVERY,
  );
}

/** @param {Page} page @param {Element} where @param {() => object} within */
function popular(page, where, within) {
  const block = page.add(
    new Block("Popular channels", { tip: "Those with the most messages; names of private channels are not kept." }),
    where,
  );
  const list = table(
    "Popular channels",
    [
      { title: "Channel", cell: (row) => nameOf(row.channel) },
      { title: "Messages", look: "num", cell: (row) => number(row.messages) },
      { title: "Most subscribers", look: "num", cell: (row) => number(row.subscribers) },
    ],
    "No message was published.",
  );
  block.body.append(list.element);
  page.watch(
    block,
    whenCounted(page, (signal) => page.api.get("/analytics/channels", { ...within(), limit: 10 }, signal)),
    ({ rows }) => list.draw(rows),
    EVERY,
  );
}

/** @param {string|null} channel */
function nameOf(channel) {
  if (channel === null) return h("span.quiet", {}, "all others");
  return channel.endsWith(":*")
    ? clientText(channel)
    : h("a", { href: address("channels", channel) }, clientText(channel));
}

/** @param {Page} page @param {Element} where @param {() => object} within */
function countries(page, where, within) {
  const block = page.add(
    new Block("Countries", {
      tip: "Of the addresses from which sessions began, where the operator gave a database or a proxy names them.",
    }),
    where,
  );
  const list = table(
    "Countries",
    [
      { title: "Country", cell: (row) => countryOf(row.country) },
      { title: "Sessions", look: "num", cell: (row) => number(row.sessions) },
    ],
    "No session began.",
  );
  block.body.append(list.element);
  page.watch(
    block,
    whenCounted(page, (signal) => page.api.get("/analytics/countries", within(), signal)),
    ({ rows }) => list.draw(rows),
    EVERY,
  );
}

/**
 * Read again when a node has added what it counted.
 * @template T
 * @param {Page} page
 * @param {(signal: AbortSignal) => Promise<T>} ask
 */
const whenCounted = (page, ask) => page.triggered(USAGE, { orderBy: ["nodeId"] }, ask);

/** @param {string|null} code */
function countryOf(code) {
  if (code === null) return h("span.quiet", {}, "not known");
  try {
    return regions.of(code) ?? code;
  } catch {
    return code; // no region code
  }
}

/** @param {Page} page */
function peaks(page) {
  const block = page.add(
    new Block("Peak times", { tip: "Connections at the same time by hour of the week, on average (UTC)." }),
  );
  const map = heatmap(block);
  page.watch(
    block,
    whenCounted(page, (signal) => page.api.get("/analytics/peaks", { metric: "connections" }, signal)),
    ({ rows }) => map.draw(rows),
    EVERY,
  );
}
