// Connected clients: a long list, and one of them.

import { address } from "../lib/route.js";
import { clientText, json, NONE, since, time } from "../lib/values.js";
import { Block } from "../parts/block.js";
import { ask } from "../parts/dialog.js";
import { longList } from "../parts/list.js";
import { facts } from "../parts/tiles.js";
import { h } from "../shared/lib/dom.js";
import { fullMoment } from "../shared/lib/format.js";
import { Problem } from "../data/api.js";

/** @typedef {import("../data/pages.js").Row} Row */
/** @typedef {import("../parts/page.js").Page} Page */

const ENDED = 404;

/** @param {Row} row @param {string} search */
const begins = ({ id, userId, ip }, search) => [id, userId, ip].some((text) => text?.startsWith(search));

/** @param {Row} row */
const userOf = (row) => (row.userId === null ? h("span.quiet", {}, "anonymous") : clientText(row.userId));

/** @param {Page} page */
export function connections(page) {
  const again = longList(page, {
    title: "Connections",
    path: "/connections",
    field: "connections",
    key: (row) => row.id,
    orders: [
      ["", "By id"],
      ["-connectedAt", "Newest first"],
      ["connectedAt", "Oldest first"],
      ["user", "By user"],
    ],
    live: {
      collection: "realtime.connections",
      where: [["droppedAt", "is-null"]],
      orders: {
        "": ["id"],
        "-connectedAt": [["connectedAt", "desc"], "id"],
        connectedAt: ["connectedAt", "id"],
        user: ["userId", "id"],
      },
      rows: (rows, { search }) => rows.filter((row) => begins(row, search)),
    },
    hint: "Id, user or address",
    nothing: "No connection matches.",
    columns: [
      { title: "User", cell: (row) => h("a", { href: address("connections", row.id) }, userOf(row)) },
      { title: "Connection", look: "mono wide", cell: (row) => clientText(row.id, 64) },
      { title: "Transport", look: "medium", cell: (row) => row.transport },
      { title: "Address", look: "mono medium", cell: (row) => row.ip ?? NONE },
      { title: "Node", look: "wide", cell: (row) => row.nodeId },
      {
        title: "For",
        look: "num",
        cell: (row) => h("span", { title: fullMoment(row.connectedAt) }, since(row.connectedAt)),
      },
      {
        title: "Disconnect",
        look: "num act",
        hidden: true,
        cell: (row) =>
          h(
            "button.button.small",
            { type: "button", onclick: () => disconnect(page, row).then((done) => done && again()) },
            "Disconnect",
            h("span.hidden", {}, ` ${row.userId ?? row.id}`),
          ),
      },
    ],
  });
}

/** @param {Page} page @param {Row} row */
function disconnect(page, row) {
  return ask({
    title: "Disconnect this client?",
    text: [
      h(
        "p",
        {},
        "The connection ",
        h("span.mono", {}, clientText(row.id, 64)),
        " of ",
        userOf(row),
        " is closed with code 4001.",
      ),
      "A client whose credentials are still accepted may connect again.",
    ],
    action: "Disconnect",
    dangerous: true,
    run: async () => {
      await page.api.send("DELETE", `/connections/${encodeURIComponent(row.id)}`);
      page.announce("The connection is being closed.");
    },
  });
}

/** @param {Page} page */
export function connection(page) {
  const id = page.route.subject ?? "";
  /** @type {Row|null} */
  let shown = null;
  const button = h(
    "button.button.danger",
    { type: "button", hidden: true, onclick: () => shown && disconnect(page, shown).then((done) => done && again()) },
    "Disconnect",
  );
  page.root.append(h("p.back", {}, h("a", { href: address("connections") }, "Connections")));
  page.heading("Connection", button);
  const block = page.add(new Block("What is known of it", { quiet: true }));
  const there = page.rows(
    "realtime.connections",
    {
      where: [
        ["id", "==", id],
        ["droppedAt", "is-null"],
      ],
    },
    async (signal) => {
      try {
        return [await page.api.get(`/connections/${encodeURIComponent(id)}`, {}, signal)];
      } catch (error) {
        if (error instanceof Problem && error.status === ENDED) return [];
        throw error;
      }
    },
  );
  const present = page.rows(
    "realtime.presence",
    { where: [["connectionId", "==", id]], orderBy: ["channel"] },
    async () => [], // then it is in the answer
  );
  const again = page.watch(
    block,
    there.with(present).as(([[row], rows]) => (row ? { presentIn: rows.map(({ channel }) => channel), ...row } : null)),
    (/** @type {Row|null} */ row) => {
      button.hidden = row === null;
      if (row === null) return block.note("There is no such connection, or it has ended.");
      if (JSON.stringify(row) === JSON.stringify(shown)) return;
      shown = row;
      block.body.replaceChildren(facts(fieldsOf(row)));
    },
  );
}

/** @param {Row} row @returns {[string, Node|string|null][]} */
function fieldsOf(row) {
  const channels = /** @type {string[]} */ (row.channels ?? row.presentIn);
  return [
    ["Id", h("span.mono", {}, clientText(row.id, 255))],
    ["User", userOf(row)],
    ["Transport", row.transport],
    ["Address", h("span.mono", {}, row.ip ?? NONE)],
    ["Node", row.nodeId],
    ["Connected", h("span", {}, time(row.connectedAt), ` · ${fullMoment(row.connectedAt)}`)],
    ...(row.userAgent ? [/** @type {[string, Node]} */ (["Client", clientText(row.userAgent, 500)])] : []),
    [
      "Present in",
      channels.length
        ? h(
            "ul.links",
            {},
            ...channels.map((name) => h("li", {}, h("a", { href: address("channels", name) }, clientText(name)))),
          )
        : "no channel",
    ],
    ["Attributes", h("pre.json", {}, clientText(json(row.attributes), 4000))],
    ...(row.metadata
      ? [/** @type {[string, Node]} */ (["Metadata", h("pre.json", {}, clientText(json(row.metadata), 4000))])]
      : []),
  ];
}
