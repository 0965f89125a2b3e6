// The message board: one room's messages, newest or most liked first, page by page.

import { byId, h, setText } from "../shared/lib/dom.js";
import { count, plural } from "../shared/lib/format.js";
import { AnimatedList } from "../parts/list.js";
import { messageView } from "../parts/message.js";
import { listeners, Panel, queryOf } from "../parts/panel.js";
import { whoAmI } from "../data/who.js";

const PAGE = 20;
const ROOMS = ["general", "roastery", "shipping", "support"];
const COUNTS = "select room_id, count(*) as messages\nfrom messages\ngroup by room_id";
const INSERT = "insert into messages (room_id, author, body) values ($1, $2, $3)";
/** @type {Record<string, [string, "asc"|"desc"][]>} */
const ORDERS = {
  newest: [
    ["createdAt", "desc"],
    ["id", "desc"],
  ],
  liked: [
    ["likes", "desc"],
    ["createdAt", "desc"],
    ["id", "desc"],
  ],
};

/**
 * @param {import("./sales.js").Page & {database: import("../data/database.js").Database}} page
 * @returns {{room: () => string}}
 */
export function startBoard({ realtime, feed, database }) {
  const panel = new Panel("messages");
  const scroller = byId("message-scroller");
  const list = new AnimatedList(byId("message-list"), {
    create: (doc) => messageView(doc, (sql, params) => database.run(sql, params)),
    scroller,
    ghosts: byId("ghosts"),
  });
  const rooms = startRooms({ realtime, feed, onPick: () => open() });
  /** @type {import("@bunbase/sdk").Pages|null} */
  let loaded = null;

  function open() {
    loaded?.unsubscribe();
    setText(byId("message-note"), "Loading…");
    let fresh = true;
    const draw = (/** @type {import("@bunbase/sdk").PagesSnapshot} */ { docs, hasMore }) => {
      if (fresh) scroller.scrollTop = 0;
      list.draw(docs, { still: fresh });
      fresh = false;
      byId("older").hidden = !hasMore;
      setText(byId("shown"), docs.length ? `${plural(docs.length, "message")} shown` : "");
      setText(
        byId("message-note"),
        docs.length ? (hasMore ? "" : "This is where the room begins.") : "No messages yet. Write the first one.",
      );
    };
    const query = { where: [["roomId", "==", rooms.current()]], orderBy: ORDERS[byId("message-order").value] };
    panel.show("messages", { ...query, limit: PAGE });
    const followed = listeners({ panel, feed, view: "messages", label: "Messages", pageSize: PAGE, draw });
    loaded = queryOf(realtime, "messages", query).pages(PAGE, ...followed);
  }

  byId("older").addEventListener("click", () => loaded?.loadMore());
  byId("message-order").addEventListener("change", open);
  startComposer((text) => database.run(INSERT, [rooms.current(), whoAmI().name, text]));
  open();
  return { room: rooms.current };
}

/**
 * The choice of room, with live counts.
 * @param {import("./sales.js").Page & {onPick: () => void}} options
 */
function startRooms({ realtime, feed, onPick }) {
  const box = byId("rooms");
  const start = ROOMS.includes(location.hash.slice(1)) ? location.hash.slice(1) : ROOMS[0];
  /** @type {Map<string, HTMLElement>} */
  const counts = new Map();
  for (const room of ROOMS) {
    const number = h("span.count", { "aria-hidden": "true" });
    counts.set(room, number);
    box.append(
      h(
        "label",
        {},
        h("input", { type: "radio", name: "room", value: room, checked: room === start }),
        h("span", {}, room, number),
      ),
    );
  }
  box.addEventListener("change", () => {
    history.replaceState(null, "", `#${current()}`);
    onPick();
  });
  const current = () => /** @type {HTMLInputElement} */ (box.querySelector(":checked")).value;
  const draw = (/** @type {import("@bunbase/sdk").Snapshot} */ { docs }) => {
    const byRoom = new Map(docs.map((doc) => [doc.data().room_id, doc.data().messages]));
    for (const [room, number] of counts) setText(number, count(byRoom.get(room) ?? 0));
  };
  queryOf(realtime, "messages", { sql: COUNTS }).onSnapshot(
    ...listeners({ feed, view: "messages", label: "Room counts", draw }),
  );
  return { current };
}

/** @param {(text: string) => Promise<{failure?: object}>} send */
function startComposer(send) {
  const form = byId("composer");
  const field = byId("message");
  form.addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    field.value = "";
    const { failure } = await send(text);
    if (failure && !field.value) field.value = text; // what was written must not be lost
  });
}
