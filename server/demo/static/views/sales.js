// The sales board: totals, charts and lists, each its own live query. Aggregates and joins are SQL.

import { plot } from "../shared/parts/plot.js";
import { byId, emptyRow, h, setText } from "../shared/lib/dom.js";
import { compact, count, plural } from "../shared/lib/format.js";
import { day, euros, shortDay, wholeEuros } from "../lib/money.js";
import { AnimatedList, lightUp } from "../parts/list.js";
import { startOrders } from "./orders.js";
import { listeners, Panel, queryOf } from "../parts/panel.js";

/** @typedef {import("@bunbase/sdk").Doc} Doc */
/** @typedef {{realtime: import("@bunbase/sdk").Realtime, feed: import("../data/feed.js").Feed}} Page */

const TOTALS = `select count(*) as orders,
       coalesce(sum(amount) filter (where status <> 'refunded'), 0) as revenue,
       coalesce(round(avg(amount), 2), 0) as average,
       count(*) filter (where status = 'pending') as pending
from orders`;

const BY_DAY = `select (created_at at time zone 'UTC')::date as day,
       sum(amount) as revenue, count(*) as orders
from orders
where status <> 'refunded'
group by 1
order by 1 desc
limit 60`;

const BY_REGION = `select region, count(*) as orders, sum(amount) as revenue
from orders
where status <> 'refunded'
group by region
order by revenue desc, region`;

const BEST_SELLERS = `select p.id, p.name, p.price, p.stock,
       sum(o.quantity) as sold, sum(o.amount) as revenue
from orders o join products p on p.id = o.product_id
where o.status <> 'refunded'
group by p.id, p.name, p.price, p.stock
order by revenue desc, p.id
limit 6`;

const NOTHING = "No orders yet. The SQL box has examples that make some.";

/** @param {Page} page */
export function startSales(page) {
  follow(page, "totals", "orders", TOTALS, "Totals", tiles());
  follow(page, "days", "orders", BY_DAY, "Revenue by day", days());
  follow(page, "regions", "orders", BY_REGION, "Revenue by region", regions());
  follow(page, "products", "orders", BEST_SELLERS, "Best sellers", products());
  startOrders(page);
}

/**
 * @param {Page} page
 * @param {string} name
 * @param {string} collection
 * @param {string} sql
 * @param {string} label
 * @param {(docs: Doc[]) => void} draw
 */
function follow({ realtime, feed }, name, collection, sql, label, draw) {
  const panel = new Panel(name);
  panel.show(collection, { sql });
  const followed = listeners({ panel, feed, view: "sales", label, draw: ({ docs }) => draw(docs) });
  queryOf(realtime, collection, { sql }).onSnapshot(...followed);
}

function tiles() {
  const box = byId("tiles");
  /** @type {[string, string, (n: number) => string][]} */
  const shown = [
    ["revenue", "Revenue", wholeEuros],
    ["orders", "Orders", count],
    ["average", "Average order", euros],
    ["pending", "Pending", count],
  ];
  const values = new Map(
    shown.map(([field, title]) => {
      const value = h("dd", {}, "–");
      const tile = h("div.tile", {}, h("dt", {}, title), value);
      box.append(tile);
      return [field, { tile, value }];
    }),
  );
  let drawn = false;
  return (/** @type {Doc[]} */ [doc]) => {
    for (const [field, , format] of shown) {
      const entry = values.get(field);
      if (entry && setText(entry.value, format(doc?.data()[field] ?? 0)) && drawn) lightUp(entry.tile);
    }
    drawn = true;
  };
}

function days() {
  const chart = plot(byId("days"), byId("day-readout"), {
    tick: (value) => (value ? compact(value) : "€0"),
    label: (point) => shortDay(point.day),
    read: (point) => `${day(point.day)}: ${euros(point.revenue)} from ${plural(point.orders, "order")}`,
    name: (points) => {
      const total = points.reduce((sum, { revenue }) => sum + revenue, 0);
      return `Bar chart of ${count(points.length)} days, together ${wholeEuros(total)}.`;
    },
    nothing: NOTHING,
  });
  return (/** @type {Doc[]} */ docs) =>
    chart.draw(
      docs
        .map((doc) => doc.data())
        .map(({ day, revenue, orders }) => ({ day, revenue, orders, value: Number(revenue) }))
        .reverse(),
    );
}

function regions() {
  const body = byId("regions").tBodies[0];
  let most = 1;
  const list = new AnimatedList(body, {
    create: () => {
      const [name, orders, revenue] = [h("th", { scope: "row" }), h("td.num.quiet"), h("td.num")];
      const bar = h("span.bar");
      return {
        element: h("tr", {}, name, h("td.track", { "aria-hidden": "true" }, bar), orders, revenue),
        update: (doc) => {
          const data = doc.data();
          setText(name, data.region);
          setText(orders, plural(data.orders, "order"));
          setText(revenue, wholeEuros(data.revenue));
        },
      };
    },
  });
  return (/** @type {Doc[]} */ docs) => {
    most = Math.max(1, ...docs.map((doc) => doc.data().revenue));
    list.draw(docs);
    for (const doc of docs) {
      const bar = body.querySelector(`[data-id="${CSS.escape(doc.id)}"] .bar`);
      bar?.style.setProperty("--share", String(doc.data().revenue / most));
    }
    emptyRow(body, docs.length === 0, 4, NOTHING);
  };
}

function products() {
  const body = byId("products").tBodies[0];
  const list = new AnimatedList(body, {
    create: () => {
      const [name, price, sold, revenue] = [h("th", { scope: "row" }), h("td.num"), h("td.num"), h("td.num")];
      return {
        element: h("tr", {}, name, price, sold, revenue),
        update: (doc) => {
          const data = doc.data();
          setText(name, data.name);
          setText(price, euros(data.price));
          setText(sold, count(data.sold));
          setText(revenue, wholeEuros(data.revenue));
        },
      };
    },
  });
  return (/** @type {Doc[]} */ docs) => {
    list.draw(docs);
    emptyRow(body, docs.length === 0, 4, NOTHING);
  };
}
