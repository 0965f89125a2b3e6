// A small game. Positions go over the room's channel ten times a second, and each player receives the latest of each other
// player at most as often (conflate). Coins and the leaderboard are live queries; who gets a coin is decided by the database.

import { byId, caller, enter, h, problem } from "/shared/page.js";

const INTERVAL = 100; // milliseconds between two messages
const STEP = 2; // of a field of 100 by 100
const REACH = 4;
const SHOWN = 30; // messages of the chat

const call = caller("game");
const { user, realtime } = await enter();
const database = realtime.database();
const failed = (error) => problem(error.message);

const joined = await call("join");
const room = joined.result.room;
const channel = realtime.channel(room, { presence: { name: user }, conflate: { key: "player", ms: INTERVAL } });

/** Players by id: `{ x, y, element }`. */
const players = new Map();
const field = byId("field");

function place(element, { x, y }) {
  element.style.left = `${x}%`;
  element.style.top = `${y}%`;
}

function put(id, { x, y }) {
  if (!Number.isFinite(x) || !Number.isFinite(y)) return; // from another client: anything may come
  const known = players.get(id);
  const element = known?.element ?? h("div", { class: id === user ? "player me" : "player", "data-player": id }, id);
  if (!known) field.append(element);
  players.set(id, { x: clamp(x), y: clamp(y), element });
  place(element, players.get(id));
}

const clamp = (value) => Math.min(98, Math.max(2, value));

// The sender is known by its token; `player` in the data is only what conflation goes by.
channel.on("move", ({ sender, data }) => sender !== user && put(sender, data ?? {}));
// What players write is text, and is shown as text.
channel.on("chat", ({ sender, data }) => {
  const list = byId("chat");
  list.append(h("p", {}, h("b", {}, sender), ` ${data?.text}`));
  while (list.children.length > SHOWN) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
});
channel.on("presence:leave", ({ id }) => {
  players.get(id)?.element.remove();
  players.delete(id);
});
channel.on("presence:join", () => send()); // so that who comes sees where this player is
for (const event of ["subscribed", "presence:join", "presence:leave"]) channel.on(event, drawPlayers);
channel.on("error", failed);

async function drawPlayers() {
  const { users } = await channel.getPresence();
  byId("players").replaceChildren(...users.map(({ id }) => h("li", {}, id)));
}

byId("send").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  byId("text").value = "";
  problem();
  channel.send("chat", { text }).catch(failed);
});

// Moving: what is held down, or the place that was touched.
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const held = new Set();
let target;

field.addEventListener("keydown", (event) => {
  if (!(event.key in KEYS)) return;
  event.preventDefault();
  target = undefined;
  held.add(event.key);
  if (!event.repeat) step();
});
field.addEventListener("keyup", ({ key }) => held.delete(key));
field.addEventListener("blur", () => held.clear());
field.addEventListener("pointerdown", ({ clientX, clientY }) => {
  const { left, top, width, height } = field.getBoundingClientRect();
  target = { x: (100 * (clientX - left)) / width, y: (100 * (clientY - top)) / height };
});

/** How far to go in one direction towards `to`, a step at most. */
const towards = (from, to) => Math.max(-STEP, Math.min(STEP, to - from));

function step() {
  const me = players.get(user);
  let [dx, dy] = [0, 0];
  for (const key of held) [dx, dy] = [dx + STEP * KEYS[key][0], dy + STEP * KEYS[key][1]];
  if (target) [dx, dy] = [towards(me.x, target.x), towards(me.y, target.y)];
  if (!dx && !dy) return;
  put(user, { x: me.x + dx, y: me.y + dy });
  collect();
  send();
}

let sent = 0;
let waiting;
/** Send the place of this player: at once, or when the interval since the last message has passed. */
function send() {
  clearTimeout(waiting);
  const wait = sent + INTERVAL - performance.now();
  if (wait > 0) {
    waiting = setTimeout(send, wait);
    return;
  }
  sent = performance.now();
  const { x, y } = players.get(user);
  channel.send("move", { player: user, x, y }).catch(failed);
}

// Coins: a live query. To reach one is a request; the first one gets it.
const coins = new Map();
const asked = new Set();

database
  .collection("coins")
  .where("room", "==", room)
  .orderBy("id")
  .onSnapshot(({ docs }) => {
    const now = new Map(docs.map((doc) => [doc.data().id, doc.data()]));
    for (const [id, { element }] of coins) if (!now.has(id)) (element.remove(), coins.delete(id));
    for (const [id, coin] of now) {
      const element = coins.get(id)?.element ?? h("div", { class: "coin", "data-coin": id });
      place(element, coin);
      if (!coins.has(id)) field.append(element);
      coins.set(id, { ...coin, element });
    }
    collect();
  }, failed);

function collect() {
  const me = players.get(user);
  if (!me) return;
  for (const [coin, { x, y }] of coins) {
    if (asked.has(coin) || Math.hypot(x - me.x, y - me.y) > REACH) continue;
    asked.add(coin);
    call("collect", { coin });
  }
}

database
  .collection("scores")
  .orderBy("score", "desc")
  .limit(10)
  .onSnapshot(({ docs }) => {
    const best = docs.map((doc) => doc.data());
    const items = best.map(({ player, score }) =>
      h("li", { class: player === user ? "me" : "" }, h("span", {}, player), h("span", {}, String(score))),
    );
    byId("best").replaceChildren(...items);
  }, failed);

put(user, { x: 10 + Math.random() * 80, y: 10 + Math.random() * 80 });
await channel.subscribe().catch(failed);
send();
setInterval(step, 50);
