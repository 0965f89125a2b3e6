// What happened over hours and weeks: plots, popular channels, countries, peak times.

import { Block } from "../parts/block.js";
import { heatmap } from "../parts/heatmap.js";
import { seriesPlot } from "../parts/series.js";
import { table } from "../parts/table.js";
import { tiles } from "../parts/tiles.js";
import { address } from "../lib/route.js";
import { clientText, NONE, number, span } from "../lib/values.js";
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
const EVERY = 60_000;

/** @type {{metric: string, title: string, tip: string, kind: "bars"|"line"}[]} */
const METRICS = [
  {
    metric: "users",
    title: "Active users",
    tip: "Different users that were connected. Clients without a user id are not counted.",
    kind: "bars",
  },
  { metric: "connections", title: "Connections at the same time", tip: "The most at the same time.", kind: "line" },
  { metric: "published", title: "Messages published", tip: "In channels, by clients, REST and SQL.", kind: "bars" },
  {
    metric: "messagesOut",
    title: "Messages delivered",
    tip: "Events, answers and errors that were written to clients.",
    kind: "bars",
  },
  { metric: "sessions", title: "Sessions", tip: "Connections that began.", kind: "bars" },
  { metric: "channels", title: "Active channels", tip: "Channels with a published message.", kind: "bars" },
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
  const between = () => {
    const to = new Date();
    return { from: new Date(to.valueOf() - chosen.seconds * 1000).toISOString(), to: to.toISOString() };
  };

  summary(page, between);
  const plots = h("div.plots");
  page.root.append(plots);
  for (const { metric, ...look } of METRICS) {
    const block = page.add(new Block(look.title, { tip: look.tip }), plots);
    const chart = seriesPlot(block, look.title, look.kind);
    page.watch(
      block,
      (signal) => page.api.get("/analytics/series", { metric, bucket: chosen.bucket, ...between() }, signal),
      ({ from, to, points }) => chart.draw(points, chosen.bucket, from, to),
      EVERY,
    );
  }
  const pair = h("div.pair");
  page.root.append(pair);
  popular(page, pair, between);
  countries(page, pair, between);
  peaks(page, between);
}

/** @param {Page} page @param {() => object} between */
function summary(page, between) {
  const block = page.add(new Block("Summary", { quiet: true }));
  const figures = tiles([
    ["users", "Active users"],
    ["sessions", "Sessions"],
    ["length", "Session length", "Of the sessions that ended, on average."],
    ["connections", "Most connections"],
    ["published", "Messages published"],
    ["messagesOut", "Messages delivered"],
  ]);
  block.body.append(figures.element);
  page.watch(
    block,
    (signal) => page.api.get("/analytics/summary", between(), signal),
    (sums) => {
      for (const name of ["users", "sessions", "connections", "published", "messagesOut"])
        figures.set(name, number(sums[name]));
      figures.set("length", sums.sessionsEnded ? span(sums.sessionSeconds / sums.sessionsEnded) : NONE);
    },
    EVERY,
  );
}

/** @param {Page} page @param {Element} where @param {() => object} between */
function popular(page, where, between) {
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
    (signal) => page.api.get("/analytics/channels", { ...between(), limit: 10 }, signal),
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

/** @param {Page} page @param {Element} where @param {() => object} between */
function countries(page, where, between) {
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
    (signal) => page.api.get("/analytics/countries", between(), signal),
    ({ rows }) => list.draw(rows),
    EVERY,
  );
}

/** @param {string|null} code */
function countryOf(code) {
  if (code === null || code === "ZZ") return h("span.quiet", {}, "not known");
  try {
    return regions.of(code) ?? code;
  } catch {
    return code; // no region code
  }
}

/** @param {Page} page @param {() => object} between */
function peaks(page, between) {
  const block = page.add(
    new Block("Peak times", { tip: "Connections at the same time by hour of the week, on average (UTC)." }),
  );
  const map = heatmap(block);
  page.watch(
    block,
    (signal) => page.api.get("/analytics/peaks", between(), signal),
    ({ rows }) => map.draw(rows),
    EVERY,
  );
}
