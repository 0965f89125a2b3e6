// The chat room: a channel with history, presence and typing. Each tab is another person.

import { Code } from "../parts/code.js";
import { channelOf } from "../lib/snippets.js";
import { byId, h, setText } from "../shared/lib/dom.js";
import { bucket, fullMoment, initials, moment, plural } from "../shared/lib/format.js";
import { drawSoon } from "../shared/lib/frames.js";
import { lightUp } from "../parts/list.js";
import { whoAmI } from "../data/who.js";

/** @typedef {import("@bunbase/sdk").Message} Message */
/** @typedef {import("@bunbase/sdk").User} User */

export const CHAT = "chat:lounge";
const KEPT = 200;
const SHOWN_FACES = 6;
/** The server takes typing back after 5 seconds; while a person goes on, it is sent again before that. */
const TYPING_EVERY = 3_000;

/** @param {import("./sales.js").Page} page */
export function startChat({ realtime, feed }) {
  const { id: myId, name: myName } = whoAmI();
  const box = byId("chat-log");
  const list = byId("chat-list");
  /** @type {Map<string, HTMLElement>} */
  const shown = new Map();
  /** @type {Map<string, User>} */
  let users = new Map();
  byId("chat-message").placeholder = `Write as ${myName}`;
  const code = new Code("chat", "Lounge");
  code.attach(/** @type {Element} */ (document.querySelector(".chat-head .panel-head")));
  code.show(channelOf(CHAT, "message"));

  const channel = realtime.channel(CHAT, { history: 50, presence: { name: myName, status: "online" } });
  channel.on("*", (/** @type {Message} */ message) => {
    show(message, { past: feed.message("chat", "Chat", message.position) });
  });
  channel.on("gap", clear); // what was missed is not stored any more; the latest messages follow
  channel.on("error", (error) => problem(error.message));
  for (const event of ["subscribed", "presence:join", "presence:update", "presence:leave"])
    channel.on(event, () => void channel.getPresence().then(showPresence, (error) => problem(error.message)));
  channel.subscribe().catch((error) => problem(error.message));

  function showPresence(/** @type {import("@bunbase/sdk").Presence} */ present) {
    users = new Map(present.users.map((user) => [user.id, user]));
    drawSoon(channel, () => drawPresence(present.users, myId));
  }

  function problem(/** @type {string} */ text) {
    setText(byId("chat-problem"), text);
    byId("chat-problem").hidden = false;
  }

  function clear() {
    for (const [id, row] of shown) {
      if (row.matches(".sending, .failed")) continue;
      shown.delete(id);
      row.remove();
    }
  }

  /** @param {Partial<Message> & {id: string, data: any}} message */
  function show(message, { sending = false, past = false } = {}) {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
    const row = rowOf(message, sending);
    const before = shown.get(message.id);
    shown.set(message.id, row);
    before?.remove(); // our own message, sent and now committed: its place is where the commit put it
    const pending = [...list.children].find((each) => each.classList.contains("sending"));
    list.insertBefore(row, sending ? null : (pending ?? null));
    while (list.children.length > KEPT) {
      const oldest = /** @type {HTMLElement} */ (list.firstElementChild);
      shown.delete(oldest.dataset.id ?? "");
      oldest.remove();
    }
    byId("chat-empty").hidden = true;
    if (atEnd || sending) box.scrollTop = box.scrollHeight;
    if (!before && !sending && !past && !document.hidden) lightUp(row);
  }

  /** @param {Partial<Message> & {id: string, data: any}} message */
  function rowOf({ id, data, sender = null, timestamp }, sending) {
    const name =
      typeof data?.name === "string" && data.name
        ? data.name
        : ((sender && users.get(sender)?.name) ?? sender ?? "SQL");
    const text = typeof data?.text === "string" ? data.text : JSON.stringify(data);
    const at = timestamp ?? new Date().toISOString();
    const mine = sender === myId;
    return h(
      `li.chat-message${mine ? ".mine" : ""}${sending ? ".sending" : ""}`,
      { "data-id": id },
      h("span.avatar", { "aria-hidden": "true", "data-tone": bucket(name, 6) }, initials(name)),
      h(
        "div.content",
        {},
        h(
          "p.byline",
          {},
          h("b.author", {}, name),
          mine ? h("span", {}, "you · ") : "",
          h("time", { datetime: at, title: fullMoment(at) }, moment(at)),
        ),
        h("p.body", {}, text),
      ),
    );
  }

  const present = (/** @type {import("@bunbase/sdk").PresenceData} */ change) =>
    void channel.updatePresence(change).catch((error) => problem(error.message));
  startComposer(present, (text) => {
    byId("chat-problem").hidden = true;
    const [id, data] = [newId(), { text, name: myName }];
    show({ id, data, sender: myId }, { sending: true });
    channel.send("message", data, { id }).then(
      () => shown.get(id)?.classList.remove("sending"),
      (error) => {
        shown.get(id)?.classList.replace("sending", "failed");
        problem(`Not sent: ${error.message}`);
      },
    );
  });
  document.addEventListener("visibilitychange", () => present({ status: document.hidden ? "away" : "online" }));
}

/** Of a message, which is shown under it before it is stored. Only secure origins have the first. */
const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Faces, a count, and who is typing. */
function drawPresence(/** @type {User[]} */ users, /** @type {string} */ myId) {
  const sorted = [...users].sort(
    (a, b) => Number(b.id === myId) - Number(a.id === myId) || nameOf(a).localeCompare(nameOf(b)),
  );
  const faces = sorted.slice(0, SHOWN_FACES).map((user) => {
    const name = nameOf(user);
    const status = user.state?.status ?? "online";
    return h(
      "li.avatar.face",
      {
        "data-tone": bucket(name, 6),
        "data-status": status,
        title: `${name}${user.id === myId ? " (you)" : ""}, ${status}`,
      },
      h("span", { "aria-hidden": "true" }, initials(name)),
      h("span.hidden", {}, `${name}, ${status}`),
    );
  });
  if (sorted.length > SHOWN_FACES) faces.push(h("li.avatar.face.rest", {}, `+${sorted.length - SHOWN_FACES}`));
  byId("chat-faces").replaceChildren(...faces);
  setText(
    byId("chat-count"),
    users.length ? `${plural(users.length, "person").replace("persons", "people")} here` : "",
  );
  const typing = sorted.filter((user) => user.id !== myId && isTyping(user)).map(nameOf);
  setText(
    byId("chat-typing"),
    typing.length > 2
      ? `${typing.length} people are typing`
      : typing.length
        ? `${typing.join(" and ")} ${typing.length > 1 ? "are" : "is"} typing`
        : "",
  );
}

const nameOf = (/** @type {User} */ user) => user.name ?? user.metadata?.name ?? user.id;
const isTyping = (/** @type {User} */ { state }) => state?.typing === true || state?.status === "typing";

/**
 * Enter sends; while a person writes, the others see it.
 * @param {(change: {typing: boolean}) => void} present
 * @param {(text: string) => void} send
 */
function startComposer(present, send) {
  const field = byId("chat-message");
  let sentAt = 0;
  function typing(/** @type {boolean} */ now) {
    if (!now && !sentAt) return;
    if (now && performance.now() - sentAt < TYPING_EVERY && sentAt) return;
    sentAt = now ? performance.now() : 0;
    present({ typing: now });
  }
  field.addEventListener("input", () => typing(Boolean(field.value.trim())));
  field.addEventListener("blur", () => typing(false));
  byId("chat-composer").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    field.value = "";
    typing(false);
    send(text);
  });
}
