// Channels: a long list, and one of them with its members, its rate and its history.

import { Source } from "../data/source.js";
import { usersOf } from "../lib/members.js";
import { address } from "../lib/route.js";
import { clientText, json, NONE, number, rate, time } from "../lib/values.js";
import { Block } from "../parts/block.js";
import { ask } from "../parts/dialog.js";
import { longList } from "../parts/list.js";
import { table } from "../parts/table.js";
import { lampWord, tiles } from "../parts/tiles.js";
import { h, setText } from "../shared/lib/dom.js";
import { fullMoment, moment } from "../shared/lib/format.js";

/** @typedef {import("../data/pages.js").Row} Row */
/** @typedef {import("../parts/page.js").Page} Page */

const COLLECTION = "realtime.stat_channels";
const HISTORY = 100;
/** Members, of those that there are. */
const SHOWN = 200;
const MINUTE = 60_000;

/** @param {Page} page */
export function channels(page) {
  longList(page, {
    title: "Channels",
    path: "/active-channels",
    field: "channels",
    key: (row) => row.channel,
    orders: [
      ["name", "By name"],
      ["-subscribers", "Most subscribers"],
      ["-members", "Most members"],
      ["-lastMessageAt", "Last message"],
    ],
    live: {
      collection: COLLECTION,
      orders: {
        name: ["channel"],
        "-subscribers": [["subscribers", "desc"], "channel"],
        "-members": [["members", "desc"], "channel"],
        "-lastMessageAt": [["lastMessageAt", "desc", "nulls-last"], "channel"],
      },
      rows: (rows, { search }) => rows.filter((row) => row.channel.includes(search)),
    },
    hint: "Part of the name",
    nothing: "No channel matches.",
    columns: [
      { title: "Channel", cell: (row) => h("a", { href: address("channels", row.channel) }, clientText(row.channel)) },
      { title: "Room", look: "medium", cell: (row) => (row.room ? "room" : h("span.quiet", {}, "–")) },
      { title: "Subscribers", look: "num", cell: (row) => number(row.subscribers) },
      { title: "Members", look: "num", cell: (row) => number(row.members) },
      { title: "Capacity", look: "num wide", cell: (row) => (row.capacity === null ? NONE : number(row.capacity)) },
      { title: "Last message", look: "num medium", cell: (row) => time(row.lastMessageAt) },
    ],
  });
}

/** @param {Page} page */
export function channel(page) {
  const name = page.route.subject ?? "";
  const path = `/channels/${encodeURIComponent(name)}`;
  const close = h("button.button.danger", { type: "button", hidden: true, onclick: closeRoom }, "Close room");
  page.root.append(h("p.back", {}, h("a", { href: address("channels") }, "Channels")));
  const heading = page.heading("Channel", close);
  heading.append(" ", clientText(name));

  const state = page.add(new Block("State", { quiet: true }));
  const figures = tiles([
    ["subscribers", "Subscribers", "Subscriptions of connections, over all running nodes."],
    ["members", "Members", "Users present, each once."],
    ["rate", "Messages/s", "Over the last minute, by the stored messages; a plus: by the last hundred."],
    ["capacity", "Capacity"],
  ]);
  const room = h("p.quiet.below");
  state.body.append(figures.element, room);
  const active = page.rows(COLLECTION, { where: [["channel", "==", name]] }, async (signal) => {
    return (await page.api.get("/active-channels", { channel: name }, signal)).channels;
  });
  const rooms = page.rows("realtime.channels", { where: [["name", "==", name]] }, async (signal) => [
    await page.api.get(path, {}, signal),
  ]);
  const both = new Source(async (/** @type {AbortSignal} */ signal) => {
    const [known] = await active.load(signal);
    const [settings = null] = known?.room ? await rooms.load(signal) : [];
    return { known, settings };
  });
  active.changed = rooms.changed = () => both.changed();
  const again = page.watch(state, both, ({ known, settings }) => {
    figures.set("subscribers", number(known?.subscribers ?? 0));
    figures.set("members", number(known?.members ?? 0));
    figures.set("capacity", settings?.capacity ? number(settings.capacity) : NONE);
    close.hidden = !settings || settings.closedAt !== null;
    room.replaceChildren(...roomText(known, settings));
  });
  members(page, path, name);
  messages(page, path, name, figures);

  async function closeRoom() {
    const done = await ask({
      title: "Close this room?",
      text: [
        h(
          "p",
          {},
          "The room ",
          clientText(name),
          " rejects subscriptions and messages from then on, and its subscribers leave.",
        ),
        "Its history stays.",
      ],
      action: "Close the room",
      dangerous: true,
      run: async () => {
        await page.api.send("DELETE", path);
        page.announce("The room is closed.");
      },
    });
    if (done) again();
  }
}

/** @param {Row|undefined} known @param {Row|null} settings @returns {(Node|string)[]} */
function roomText(known, settings) {
  if (!known) return ["No node knows this channel now: it has no subscribers, no members and no stored messages."];
  if (!settings) return ["A channel without settings of its own."];
  if (settings.closedAt) return [lampWord("closed", "bad"), " since ", time(settings.closedAt)];
  const by = settings.createdBy ? [" by ", clientText(settings.createdBy, 80)] : [];
  return [lampWord("open room", "good"), ", made ", time(settings.createdAt), ...by];
}

/** @param {Page} page @param {string} path @param {string} name */
function members(page, path, name) {
  const block = page.add(new Block("Members"));
  const list = table(
    "Members",
    [
      {
        title: "User",
        cell: (row) => h("a", { href: address("connections", null, { search: row.id }) }, clientText(row.id)),
      },
      { title: "Name", look: "medium", cell: (row) => (row.name === null ? NONE : clientText(row.name)) },
      {
        title: "State",
        look: "wide",
        cell: (row) => (Object.keys(row.state).length ? clientText(JSON.stringify(row.state), 80) : NONE),
      },
      { title: "Connections", look: "num medium", cell: (row) => number(row.connections) },
      { title: "Joined", look: "num medium", cell: (row) => time(row.joinedAt) },
      {
        title: "Kick",
        look: "num act",
        hidden: true,
        cell: (row) =>
          h(
            "button.button.small",
            { type: "button", onclick: () => kick(row) },
            "Kick",
            h("span.hidden", {}, ` ${row.id}`),
          ),
      },
    ],
    "No user is present.",
  );
  const rest = h("p.quiet.below", { hidden: true });
  block.body.append(list.element, rest);
  const present = { where: [["channel", "==", name]], orderBy: ["userId", "connectionId"] };
  const again = page.watch(
    block,
    page
      .rows("realtime.presence", present, async (signal) => (await page.api.get(`${path}/presence`, {}, signal)).users)
      .as((rows) => (rows.some(({ connectionId }) => connectionId) ? usersOf(rows) : rows)),
    (users) => {
      setText(block.title, users.length ? `Members (${number(users.length)})` : "Members");
      list.draw(users.slice(0, SHOWN));
      setText(rest, `and ${number(users.length - SHOWN)} more`);
      rest.hidden = users.length <= SHOWN;
    },
  );

  /** @param {Row} row */
  async function kick(row) {
    const reason = h("input", { id: "kick-reason", maxlength: 1000, autocomplete: "off" });
    const done = await ask({
      title: "Kick this user?",
      text: [
        h("p", {}, "All subscriptions of ", clientText(row.id), " to ", clientText(name), " end."),
        h("p.field", {}, h("label", { for: "kick-reason" }, "Reason, which the client receives"), reason),
      ],
      action: "Kick",
      dangerous: true,
      run: async () => {
        const text = /** @type {HTMLInputElement} */ (reason).value.trim();
        await page.api.send("POST", `${path}/kick`, { userId: row.id, ...(text && { reason: text }) });
        page.announce("The user is being removed from the channel.");
      },
    });
    if (done) again();
  }
}

/** @param {Page} page @param {string} path @param {string} name @param {ReturnType<typeof tiles>} figures */
function messages(page, path, name, figures) {
  const block = page.add(new Block("History"));
  const latest = h("ol.history");
  const past = h("ol.history");
  const more = h("button.button.quiet-button", { type: "button", hidden: true, onclick: older }, "Load older");
  const none = h("p.note", { hidden: true }, "No messages are stored.");
  block.body.append(none, latest, past, more);
  /** @type {string|null} */
  let before = null;
  let read = false;
  let top = "";
  page.watch(
    block,
    page.triggered(COLLECTION, { where: [["channel", "==", name]] }, (signal) =>
      page.api.get(`${path}/messages`, { limit: HISTORY }, signal),
    ),
    (answer) => {
      const rows = /** @type {Row[]} */ (answer.messages);
      figures.set("rate", rateOf(rows));
      none.hidden = rows.length > 0;
      const newest = rows.at(-1)?.position ?? "";
      if (newest === top && read) return;
      top = newest;
      latest.replaceChildren(...rows.toReversed().map(messageRow));
      if (past.childElementCount) return; // what came in between is read with "Load older" anew
      before = answer.before;
      more.hidden = before === null;
      read = true;
    },
  );

  async function older() {
    try {
      const answer = await page.api.get(`${path}/messages`, { limit: HISTORY, before }, page.signal);
      past.append(...answer.messages.toReversed().map(messageRow));
      before = answer.before;
      more.hidden = before === null;
    } catch (error) {
      block.failed(error);
    }
  }
}

/** @param {Row[]} rows */
function rateOf(rows) {
  const now = Date.now();
  const recent = rows.filter(({ timestamp }) => now - new Date(timestamp).valueOf() < MINUTE);
  if (!recent.length) return "0";
  if (recent.length < HISTORY) return rate(recent.length / 60);
  const took = Math.max(1, now - new Date(recent[0].timestamp).valueOf());
  return `${rate((recent.length / took) * 1000)}+`;
}

/** @param {Row} row */
const messageRow = (row) =>
  h(
    "li",
    {},
    h(
      "p.byline",
      {},
      h("time", { datetime: row.timestamp, title: fullMoment(row.timestamp) }, moment(row.timestamp)),
      " ",
      h("b", {}, clientText(row.event, 80)),
      " from ",
      row.sender === null ? "the server" : clientText(row.sender, 80),
    ),
    h("pre.json", {}, clientText(typeof row.data === "string" ? row.data : json(row.data), 2000)),
  );
