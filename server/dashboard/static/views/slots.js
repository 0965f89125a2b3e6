// Replication slots: who reads the log, how far it is, and how much of it is kept for that.

import { bytes, clientText, NONE, seconds, span } from "../lib/values.js";
import { Block } from "../parts/block.js";
import { table } from "../parts/table.js";
import { lampWord } from "../parts/tiles.js";
import { h } from "../shared/lib/dom.js";

/** @typedef {import("../data/pages.js").Row} Row */

/** @type {Record<string, "good"|"warn"|"bad"|"">} */
const LEVELS = { reserved: "good", extended: "warn", unreserved: "bad", lost: "bad", missing: "bad", unused: "" };

/** @param {Row} row */
const reading = (row) =>
  row.active
    ? lampWord("active", "good")
    : lampWord(
        `inactive${row.inactiveSince ? ` for ${span((Date.now() - new Date(row.inactiveSince).valueOf()) / 1000)}` : ""}`,
        row.own ? "warn" : "",
      );

/** @param {import("../parts/page.js").Page} page */
export function slots(page) {
  page.heading("Slots");
  const own = page.add(
    new Block("Of the nodes", {
      tip: "A slot keeps WAL until its node has confirmed it. A node that is away holds all that is written meanwhile.",
    }),
  );
  const others = page.add(
    new Block("Other slots of the cluster", {
      tip: "Of other products, databases and standbys. They keep WAL on the same disk.",
    }),
  );
  const [mine, foreign] = [
    table("Slots of the nodes", COLUMNS, "No node has a slot."),
    table("Other slots", COLUMNS, "There are no others."),
  ];
  own.body.append(mine.element);
  others.body.append(foreign.element);
  page.watch(own, slotRows(page), (rows) => {
    mine.draw(rows.filter((row) => row.own));
    others.ready();
    foreign.draw(rows.filter((row) => !row.own));
  });
}

/** @param {import("../parts/page.js").Page} page */
export const slotRows = (page) =>
  page.rows(
    "realtime.stat_slots",
    { orderBy: ["slot"] },
    async (signal) => (await page.api.get("/slots", {}, signal)).slots,
  );

/** @type {import("../parts/table.js").Column[]} */
const COLUMNS = [
  { title: "Slot", cell: (row) => h("span.mono", {}, clientText(row.slot, 63)) },
  { title: "Reading", cell: reading },
  {
    title: "WAL",
    cell: (row) =>
      h("span", { title: row.invalidationReason }, lampWord(row.walStatus, LEVELS[row.walStatus] ?? "warn")),
  },
  { title: "Lag", look: "num", cell: (row) => bytes(row.lagBytes) },
  { title: "Delay", look: "num medium", cell: (row) => (row.active ? span(seconds(row.lag)) : NONE) },
  { title: "Kept", look: "num", cell: (row) => bytes(row.retainedBytes) },
  {
    title: "Room left",
    look: "num wide",
    cell: (row) => (row.safeWalSize === null ? "unlimited" : bytes(row.safeWalSize)),
  },
  { title: "Confirmed", look: "mono wide", cell: (row) => row.confirmedFlushLsn ?? NONE },
  { title: "Node", look: "wide", cell: (row) => row.node ?? row.database ?? row.slotType ?? NONE },
  { title: "Plugin", look: "wide", cell: (row) => row.plugin ?? NONE },
];
