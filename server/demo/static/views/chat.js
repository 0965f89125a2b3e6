// The chat room: a channel with history, presence and typing. Each tab is another person.

import { Channel } from "../data/channel.js";
import { Code } from "../parts/code.js";
import { channelOf } from "../lib/snippets.js";
import { byId, h, setText } from "../shared/lib/dom.js";
import { bucket, fullMoment, initials, moment, plural } from "../shared/lib/format.js";
import { drawSoon } from "../shared/lib/frames.js";
import { lightUp } from "../parts/list.js";
import { whoAmI } from "../data/who.js";

/** @typedef {import("../data/channel.js").Message} Message */
/** @typedef {import("../data/channel.js").User} User */

export const CHAT = "chat:lounge";
const KEPT = 200;
const SHOWN_FACES = 6;
/** The server takes typing back after 5 seconds; while a person goes on, it is sent again before that. */
const TYPING_EVERY = 3_000;

/** @param {{live: import("../shared/data/live.js").Live, latency: import("../data/latency.js").Latency}} page */
export function startChat({ live, latency }) {
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

  const channel = new Channel(
    live,
    CHAT,
    { name: myName, status: "online" },
    {
      onMessages(messages, { fresh, past }) {
        if (fresh) clear();
        for (const message of messages) {
          latency.note("Chat", { position: message.position, reset: past });
          show(message, { past });
        }
      },
      onPresence(everybody) {
        users = new Map(everybody.map((user) => [user.id, user]));
        drawSoon(channel, () => drawPresence(everybody, myId));
      },
      onAck: (id) => shown.get(id)?.classList.remove("sending"),
      onError(message, id) {
        const row = id ? shown.get(id) : undefined;
        row?.classList.add("failed");
        setText(byId("chat-problem"), row ? `Not sent: ${message}` : message);
        byId("chat-problem").hidden = false;
      },
    },
  );

  function clear() {
    shown.clear();
    list.replaceChildren();
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

  startComposer(channel, (text) => {
    byId("chat-problem").hidden = true;
    const data = { text, name: myName };
    const id = channel.publish("message", data);
    show({ id, data, sender: myId }, { sending: true });
  });
  document.addEventListener("visibilitychange", () => channel.present({ status: document.hidden ? "away" : "online" }));
}

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
 * @param {Channel} channel
 * @param {(text: string) => void} send
 */
function startComposer(channel, send) {
  const field = byId("chat-message");
  let sentAt = 0;
  function typing(/** @type {boolean} */ now) {
    if (!now && !sentAt) return;
    if (now && performance.now() - sentAt < TYPING_EVERY && sentAt) return;
    sentAt = now ? performance.now() : 0;
    channel.present({ typing: now });
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
