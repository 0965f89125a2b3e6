// Live chat: messages and read receipts are live queries, presence and typing are the channel's.

import { pages } from "/realtime.js";
import { byId, caller, clock, enter, h, problem } from "/shared/page.js";

const EMOJI = ["+1", "❤️", "😄"];
const PAGE = 20;

const call = caller("chat");
const { user, realtime } = await enter();
const database = realtime.database();
const failed = (error) => problem(error.message);

let shown = []; // documents, the oldest first
let reads = [];
let lastRead; // the id of the newest message that this page has marked as read
let draft; // the message that is being edited
const sending = new Map(); // by id, until the live query has them

// History: the newest messages, and older ones with each loadMore(). All that is loaded stays live.
const history = pages(
  database.collection("chat_messages").where("room", "==", "lounge").orderBy("createdAt", "desc"),
  PAGE,
  ({ docs, hasMore }) => {
    shown = docs.map((doc) => doc.data()).reverse();
    byId("older").hidden = !hasMore;
    draw();
    markRead();
  },
  failed,
);
byId("older").onclick = () => history.loadMore();

database
  .collection("chat_reads")
  .where("room", "==", "lounge")
  .orderBy("reader")
  .onSnapshot(({ docs }) => {
    reads = docs.map((doc) => doc.data());
    draw();
  }, failed);

function markRead() {
  const newest = shown.at(-1);
  if (!newest || newest.id === lastRead || document.hidden) return;
  lastRead = newest.id;
  call("read", { id: newest.id });
}
document.addEventListener("visibilitychange", markRead);

// Each message has its element as long as it is shown, so that the focus and what is read stay where they are.
const elements = new Map();

function draw() {
  for (const { id } of shown) sending.delete(id);
  const all = [...shown, ...sending.values()];
  const wanted = all.map((message) => {
    const key = JSON.stringify([message, readersOf(message)]);
    const known = elements.get(message.id);
    if (known?.key === key) return known.element;
    const element = draft?.id === message.id && known ? known.element : messageElement(message);
    elements.set(message.id, { key, element });
    return element;
  });
  const list = byId("messages");
  const before = list.lastElementChild?.dataset.id;
  const focused = focusIn(list);
  for (const old of [...list.children]) if (!wanted.includes(old)) old.remove();
  wanted.forEach((element, i) => list.children[i] !== element && list.insertBefore(element, list.children[i] ?? null));
  if (focused) elements.get(focused.id)?.element.querySelectorAll("button")[focused.index]?.focus();
  if (list.lastElementChild?.dataset.id !== before) list.lastElementChild?.scrollIntoView({ block: "nearest" });
}

/** Which button of which message has the focus: its successor is to have it, too. */
function focusIn(list) {
  const item = document.activeElement?.closest("#messages > li");
  if (!item || !list.contains(item) || document.activeElement.tagName !== "BUTTON") return undefined;
  return { id: item.dataset.id, index: [...item.querySelectorAll("button")].indexOf(document.activeElement) };
}

/** Who has read up to this message, besides this user and its author. */
const readersOf = ({ id, author }) =>
  reads
    .map(({ message, reader }) => (message === id ? reader : user))
    .filter((reader) => ![user, author].includes(reader));

function messageElement(message) {
  const mine = message.author === user;
  const readers = readersOf(message);
  const actions = EMOJI.map((emoji) => {
    const users = message.reactions?.[emoji] ?? [];
    const name = `${emoji} ${users.length ? users.join(", ") : "no one yet"}`;
    const press = () => call("react", { id: message.id, emoji });
    const text = users.length ? `${emoji} (${users.length})` : emoji;
    const state = { type: "button", class: "small", "aria-label": name, "aria-pressed": String(users.includes(user)) };
    return h("button", { ...state, onclick: press }, text);
  });
  const head = h(
    "p",
    { class: "quiet" },
    h("b", {}, message.author),
    message.createdAt ? ` ${clock(message.createdAt)}` : " sending…",
    message.editedAt && " (edited)",
  );
  const edit =
    mine && message.body && h("button", { type: "button", class: "small", onclick: () => startEdit(message) }, "Edit");
  return h(
    "li",
    { class: `${mine ? "mine" : ""} ${message.createdAt ? "" : "sending"}`, "data-id": message.id },
    head,
    message.file ? fileElement(message.file) : h("p", { class: "body" }, message.body),
    message.createdAt && h("div", { class: "row" }, ...actions, edit),
    h("p", { class: "quiet receipt" }, readers.length ? `Read by ${readers.join(", ")}` : ""),
  );
}

// A message has only the name, type and size of its file; the bytes come when they are asked for.
function fileElement({ id, name, size }) {
  const open = async () => {
    const found = await call("file", { id });
    if (!found?.result) return;
    const bytes = Uint8Array.from(atob(found.result.content), (letter) => letter.charCodeAt(0));
    const href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    h("a", { href, download: found.result.name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  };
  return h("p", {}, h("button", { type: "button", onclick: open }, `${name} (${Math.ceil(size / 1024)} KB)`));
}

// Sent, and shown at once: until the live query has passed the write, the message is in `sending`.
byId("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = byId("body").value.trim();
  if (!body) return;
  byId("body").value = "";
  notTyping();
  await deliver("send", { id: crypto.randomUUID(), body });
});

async function deliver(name, args) {
  sending.set(args.id, { id: args.id, author: user, body: args.body ?? args.name });
  draw();
  const done = await call(name, args);
  if (done) await realtime.whenSeen(done.position).catch(failed);
  sending.delete(args.id);
  draw();
}

byId("attach").onclick = () => byId("file").click();
byId("file").onchange = async () => {
  const [file] = byId("file").files;
  if (!file) return;
  if (file.size > 1024 * 1024) return problem("A file has 1 MB at most.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  const content = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  byId("file").value = "";
  await deliver("share", { id: crypto.randomUUID(), name: file.name, type: file.type, content });
};

function startEdit(message) {
  draft = message;
  const element = elements.get(message.id).element;
  const input = h("input", { class: "wide", value: message.body, "aria-label": "Edited message", maxlength: 2000 });
  const end = async (save) => {
    draft = undefined;
    if (save) await call("edit", { id: message.id, body: input.value });
    elements.delete(message.id);
    draw();
  };
  const form = h(
    "form",
    { class: "row", onsubmit: (event) => (event.preventDefault(), end(true)) },
    input,
    h("button", { class: "small" }, "Save"),
    h("button", { class: "small", type: "button", onclick: () => end(false) }, "Cancel"),
  );
  input.addEventListener("keydown", ({ key }) => key === "Escape" && end(false));
  element.querySelector(".body").replaceWith(form);
  input.focus();
}

// Presence and typing. The server takes "typing" back by itself if this page vanishes.
const channel = realtime.channel("chat:lounge", { presence: { name: user, status: "online" } });
for (const event of ["subscribed", "presence:join", "presence:update", "presence:leave"]) channel.on(event, drawPeople);
channel.on("error", failed);
await channel.subscribe().catch(failed);

async function drawPeople() {
  const { users } = await channel.getPresence();
  const names = users.map(({ id, state }) => `${id}${state.status === "away" ? " (away)" : ""}`);
  byId("people").replaceChildren(...names.map((name) => h("li", {}, name)));
  const typing = users.filter(({ id, state }) => state.typing && id !== user).map(({ id }) => id);
  byId("typing").textContent = typing.length ? `${typing.join(", ")} ${typing.length > 1 ? "are" : "is"} typing…` : "";
}

let typingSince = 0;
byId("body").addEventListener("input", () => {
  if (Date.now() - typingSince < 2000) return; // the server forgets it after 5 s
  typingSince = Date.now();
  channel.updatePresence({ typing: true }).catch(failed);
});

function notTyping() {
  if (typingSince) channel.updatePresence({ typing: false }).catch(failed);
  typingSince = 0;
}

document.addEventListener("visibilitychange", () =>
  channel.updatePresence({ status: document.hidden ? "away" : "online" }).catch(failed),
);
