// The orders table: a builder query made from the filters above it.

import { byId, emptyRow, h, setText } from "../shared/lib/dom.js";
import { count, fullMoment, moment } from "../shared/lib/format.js";
import { euros } from "../lib/money.js";
import { AnimatedList } from "../parts/list.js";
import { listeners, Panel, queryOf } from "../parts/panel.js";

/** @param {import("./sales.js").Page} page */
export function startOrders({ realtime, feed }) {
  const form = byId("order-filters");
  const body = byId("orders").tBodies[0];
  const panel = new Panel("orders");
  const list = new AnimatedList(body, { create: orderView });
  /** @type {import("@bunbase/sdk").QuerySubscription|null} */
  let subscription = null;

  function open() {
    subscription?.unsubscribe();
    let fresh = true;
    const draw = (/** @type {import("@bunbase/sdk").Snapshot} */ { docs }) => {
      emptyRow(body, false, 7);
      list.draw(docs, { still: fresh });
      emptyRow(body, docs.length === 0, 7, "No order matches these filters.");
      fresh = false;
    };
    const query = queryFrom(new FormData(form));
    panel.show("orders", query);
    const followed = listeners({ panel, feed, view: "sales", label: "Orders", draw });
    subscription = queryOf(realtime, "orders", query).onSnapshot(...followed);
  }

  form.addEventListener("change", open);
  form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  open();
}

/**
 * @param {FormData} filters
 * @returns {object}
 */
function queryFrom(filters) {
  const where = ["status", "region"]
    .filter((field) => filters.get(field))
    .map((field) => [field, "==", filters.get(field)]);
  const orderBy = [
    [filters.get("order"), "desc"],
    ["id", "desc"],
  ];
  return { ...(where.length ? { where } : {}), orderBy, limit: Number(filters.get("limit")) };
}

/** @returns {import("../parts/list.js").RowView} */
function orderView() {
  const number = h("td.num.quiet");
  const customer = h("th", { scope: "row" });
  const region = h("td.region");
  const status = h("span.status");
  const items = h("td.num.items");
  const amount = h("td.num");
  const placed = h("td.num.quiet.placed");
  return {
    element: h("tr", {}, number, customer, region, h("td", {}, status), items, amount, placed),
    update: (doc) => {
      const data = doc.data();
      setText(number, data.id);
      setText(customer, data.customer);
      setText(region, data.region);
      setText(status, data.status);
      status.dataset.status = data.status;
      setText(items, count(data.quantity));
      setText(amount, euros(data.amount));
      setText(placed, moment(data.createdAt));
      placed.title = fullMoment(data.createdAt);
    },
  };
}
