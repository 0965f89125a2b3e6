// Live dashboard: every figure is a live query in SQL. PostgreSQL computes, the page draws.

import { byId, caller, clock, enter, h, problem } from "/shared/page.js";
import { drawLine } from "./chart.js";

const call = caller("dashboard");
const { realtime } = await enter();
const failed = (error) => problem(error.message);

/** Follow a query in SQL over requests: `show` gets its rows. */
const follow = (sql, show) =>
  realtime
    .database()
    .collection("requests")
    .sql(sql)
    .onSnapshot(({ docs }) => show(docs.map((doc) => doc.data())), failed);

// Queries with now() are read again once a second, so the window moves on also while nothing is written.
follow(
  `select date_bin('5 seconds', at, timestamptz '2000-01-01Z') as at, count(*)::int as requests,
          percentile_cont(0.95) within group (order by milliseconds)::int as p95
   from dashboard.requests where at > now() - interval '5 minutes' group by 1 order by 1`,
  (rows) => {
    const last = rows.at(-1);
    const points = (field) => rows.map((row) => ({ at: row.at, value: row[field] }));
    drawLine(byId("rate"), points("requests"), last ? `Now ${last.requests} requests in 5 seconds` : "No requests yet");
    drawLine(byId("slowest"), points("p95"), last ? `Now ${last.p95} milliseconds` : "No requests yet");
  },
);

follow(
  `select count(*)::int as requests, coalesce(avg(milliseconds), 0)::int as mean, count(*) filter (where not ok)::int as errors
   from dashboard.requests where at > now() - interval '5 minutes'`,
  ([{ requests, mean, errors }]) => {
    const figures = { Requests: requests, "Mean time": `${mean} ms`, Errors: errors };
    const tiles = Object.entries(figures).map(([name, figure]) =>
      h("div", {}, h("dt", {}, name), h("dd", { "data-figure": name }, String(figure))),
    );
    byId("totals").replaceChildren(...tiles);
  },
);

follow(
  `select t.service, count(r.id)::int as requests, t.milliseconds as threshold,
          coalesce(percentile_cont(0.95) within group (order by r.milliseconds), 0)::int as p95,
          count(*) filter (where not r.ok)::int as errors
   from dashboard.thresholds t
   left join dashboard.requests r on r.service = t.service and r.at > now() - interval '1 minute'
   group by t.service order by t.service`,
  (rows) => {
    const shown = rows.map(({ service, requests, p95, errors, threshold }) => {
      const slow = p95 > threshold;
      const status = h("td", { class: slow ? "bad" : "" }, slow ? "slow" : "ok");
      const cells = [requests, `${p95} ms`, errors].map((text) => h("td", {}, String(text)));
      return h("tr", { "data-service": service }, h("th", { scope: "row" }, service), ...cells, status);
    });
    byId("services").replaceChildren(...shown);
  },
);

// Alerts are rows: the trigger raises and clears them in the transaction that wrote the requests.
realtime
  .database()
  .collection("alerts")
  .orderBy("id", "desc")
  .limit(10)
  .onSnapshot(({ docs }) => {
    const alerts = docs.map((doc) => doc.data());
    const open = alerts.filter(({ clearedAt }) => !clearedAt);
    byId("alarm").textContent = open
      .map(({ service, milliseconds }) => `${service} takes ${milliseconds} ms`)
      .join(", ");
    const items = alerts.map(({ service, milliseconds, raisedAt, clearedAt }) =>
      h(
        "li",
        {},
        h("b", { class: clearedAt ? "" : "bad" }, `${service}: ${milliseconds} ms`),
        h("p", { class: "quiet" }, `${clock(raisedAt)}${clearedAt ? `, over at ${clock(clearedAt)}` : ", open"}`),
      ),
    );
    byId("alerts").replaceChildren(...(items.length ? items : [h("li", { class: "quiet" }, "None yet")]));
  }, failed);

// The simulator runs as long as this page wants it.
const pressed = (button) => button.getAttribute("aria-pressed") === "true";
const toggle = ({ currentTarget: button }) => button.setAttribute("aria-pressed", String(!pressed(button)));
byId("slow").addEventListener("click", toggle);
byId("run").addEventListener("click", (event) => {
  toggle(event);
  simulate();
});

let waiting; // for the next second
async function simulate() {
  clearTimeout(waiting);
  if (!pressed(byId("run"))) return;
  await call("simulate", { slow: pressed(byId("slow")) });
  waiting = setTimeout(simulate, 1000);
}
