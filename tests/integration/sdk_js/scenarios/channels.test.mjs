// Channels and presence over one transport, against a real server.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { client, closeAll, control, eventually, name, once, sql, ws } from "./support.mjs";

afterEach(closeAll);

const listOf = (channel, event = "n") => {
  const list = [];
  channel.on(event, ({ data }) => list.push(data));
  return list;
};
const upTo = (count) => Array.from({ length: count }, (_, index) => index);

test("what one client sends all subscribers receive, in order, with sender and position", async () => {
  const room = name();
  const [ada, bob] = [client({ user: "ada" }), client({ user: "bob" })];
  const [here, there] = [ada.channel(room), bob.channel(room)];
  await Promise.all([here.subscribe(), there.subscribe()]);
  const received = [];
  there.on("new-message", (message) => received.push(message));
  const mine = listOf(here, "new-message");
  const ack = await here.send("new-message", { text: "Hello!" });
  await eventually(() => assert.equal(received.length, 1));
  const [{ timestamp, ...message }] = received;
  assert.deepEqual(message, {
    channel: room,
    event: "new-message",
    data: { text: "Hello!" },
    sender: "ada",
    id: ack.id,
    position: ack.position,
  });
  assert.ok(!Number.isNaN(Date.parse(timestamp)));
  const acks = upTo(200).map((each) => here.send("new-message", each));
  await eventually(() => assert.deepEqual(mine.slice(1), upTo(200)));
  await eventually(() =>
    assert.deepEqual(
      received.slice(1).map(({ data }) => data),
      upTo(200),
    ),
  );
  await Promise.all(acks); // long polling brings them later than the messages
});

test("what is older than the subscription is read page by page", async () => {
  const room = name();
  const [ada, bob] = [client({ user: "ada" }), client({ user: "bob" })];
  for (const each of upTo(5)) await ada.channel(room).send("n", each);
  const channel = bob.channel(room);
  await assert.rejects(channel.history(), { code: "RT_004" });
  await channel.subscribe();
  const pages = [];
  let page = { before: undefined };
  do pages.push((page = await channel.history({ before: page.before, limit: 2 })));
  while (page.before);
  assert.deepEqual(
    pages.map(({ messages }) => messages.map(({ data, sender }) => [data, sender])),
    [[[3, "ada"], [4, "ada"]], [[1, "ada"], [2, "ada"]], [[0, "ada"]]], // prettier-ignore
  );
  await assert.rejects(channel.history({ before: "nonsense" }), { code: "RT_007" });
});

test("after unsubscribing nothing is received, and subscribing again begins anew", async () => {
  const room = name();
  const channel = client().channel(room);
  await channel.subscribe();
  const received = listOf(channel);
  await channel.send("n", 1);
  await eventually(() => assert.deepEqual(received, [1]));
  await channel.unsubscribe();
  await channel.send("n", 2);
  await channel.subscribe();
  await channel.send("n", 3);
  await eventually(() => assert.deepEqual(received, [1, 3]));
});

test("history comes before what is new, also for listeners that are added after subscribing", async () => {
  const room = name();
  const writer = client().channel(room);
  for (const each of upTo(5)) await writer.send("n", each);
  const reader = client().channel(room, { history: 3 });
  await reader.subscribe();
  const received = listOf(reader);
  await writer.send("n", 5);
  await eventually(() => assert.deepEqual(received, [2, 3, 4, 5]));
});

test("a filter lets only what is wanted through", async () => {
  const room = name();
  const channel = client().channel(room, { filter: { events: ["n"], where: [["price", ">", 10]] } });
  await channel.subscribe();
  const received = listOf(channel, "*");
  await channel.send("m", { price: 20 });
  await channel.send("n", { price: 5 });
  await channel.send("n", { price: 20 });
  await eventually(() => assert.deepEqual(received, [{ price: 20 }]));
});

test("presence: who is there, who comes, changes and goes", async () => {
  const room = name("presence");
  const [ada, bob] = [client({ user: "ada" }), client({ user: "bob" })];
  const [here, there] = [ada.channel(room), bob.channel(room)];
  const events = [];
  for (const event of ["join", "update", "leave"])
    here.on(`presence:${event}`, ({ id, name, state }) => events.push([event, id, name, state.status]));
  await here.subscribe();
  await there.subscribe();
  await there.updatePresence({ name: "Bob", status: "away" });
  await eventually(async () => {
    assert.deepEqual(
      events.filter(([, id]) => id === "bob"),
      [
        ["join", "bob", null, undefined],
        ["update", "bob", "Bob", "away"],
      ],
    );
    const { users, count } = await here.getPresence();
    assert.deepEqual([users.map(({ id }) => id).sort(), count], [["ada", "bob"], 2]);
  });
  await there.unsubscribe();
  await eventually(() => assert.deepEqual(events.at(-1)?.slice(0, 2), ["leave", "bob"]));
  assert.equal((await here.getPresence()).count, 1);
});

test("who disconnects leaves at once, and comes back with connect()", async () => {
  const room = name("presence");
  await sql(`select realtime.create_channel('${room}', presence_timeout => '1 hour')`);
  const [ada, bob] = [client({ user: "ada" }), client({ user: "bob" })];
  const [here, there] = [ada.channel(room), bob.channel(room)];
  const events = [];
  for (const event of ["join", "leave"]) here.on(`presence:${event}`, ({ id }) => events.push(`${event} ${id}`));
  await here.subscribe();
  await there.subscribe();
  bob.disconnect();
  await eventually(() =>
    assert.deepEqual(
      events.filter((each) => each.endsWith("bob")),
      ["join bob", "leave bob"],
    ),
  );
  bob.connect();
  await eventually(() => assert.equal(events.at(-1), "join bob"));
});

test("errors have codes: presence without subscribing, a closed room, a private channel", async () => {
  const channel = client().channel(name());
  await assert.rejects(channel.updatePresence({ status: "away" }), { name: "RealtimeError", code: "RT_009" });
  await assert.rejects(channel.getPresence(), { code: "RT_009" });
  await assert.rejects(client().channel("private:user-1").subscribe(), { code: "RT_003", channel: "private:user-1" });
  await assert.rejects(channel.send("n", "x".repeat(200_000)), { code: "RT_005" });
  await sql(`select realtime.create_channel('${channel.name}')`);
  await channel.subscribe();
  const closed = once(channel, "room:closed");
  const ended = once(channel, "error");
  await sql(`select realtime.close_channel('${channel.name}')`);
  await closed;
  assert.equal((await ended).code, "RT_004");
  await assert.rejects(channel.subscribe(), { code: "RT_004" });
});

test("who is kicked is notified, and can subscribe again", async () => {
  const room = name();
  const channel = client({ user: "eve" }).channel(room, { presence: true });
  await channel.subscribe();
  const ended = once(channel, "error");
  await sql(`select realtime.kick('${room}', 'eve', 'spam')`);
  assert.equal((await ended).code, "RT_003");
  await channel.subscribe();
});

test("who is disconnected stays away until connect()", async () => {
  const eve = client({ user: `eve-${name()}` });
  await once(eve, "connected");
  const gone = Promise.all([once(eve, "disconnected"), once(eve, "error")]);
  await eventually(async () =>
    assert.equal((await sql(`select realtime.disconnect(connection_id => '${eve.connectionId}')`))[0][0], "1"),
  );
  const [how, error] = await gone;
  assert.deepEqual([how.code, error.code, eve.state], [4001, "RT_001", "failed"]);
  eve.connect();
  await once(eve, "connected");
});

test("a killed server: everything that was acknowledged, and everything that was sent meanwhile, is received once and in order", async () => {
  const room = name();
  const [here, there] = [client().channel(room), client().channel(room)];
  await Promise.all([here.subscribe(), there.subscribe()]);
  const received = listOf(there);
  const gaps = [];
  there.on("gap", () => gaps.push(1));
  const sent = [];
  for (const each of upTo(100)) sent.push(here.send("n", each));
  await eventually(() => assert.ok(received.length > 10));
  await control("kill");
  for (const each of upTo(100)) sent.push(here.send("n", 100 + each));
  await control("start");
  const acks = await Promise.all(sent);
  assert.equal(new Set(acks.map(({ id }) => id)).size, 200);
  await eventually(() => assert.deepEqual(received, upTo(200)));
  assert.deepEqual(gaps, []);
});

test("presence is announced again after a reconnect, unseen by the others", async () => {
  const room = name("presence");
  const watcher = client({ user: "watcher" });
  const events = [];
  const seen = watcher.channel(room);
  await seen.subscribe();
  const sockets = [];
  class Breakable extends ws {
    constructor(address) {
      super(address);
      sockets.push(this);
    }
  }
  const there = client({ user: "bob", transports: ["websocket"], WebSocket: Breakable }).channel(room);
  await there.subscribe();
  await there.updatePresence({ name: "Bob", status: "busy" });
  await eventually(async () =>
    assert.equal((await seen.getPresence()).users.find(({ id }) => id === "bob")?.state.status, "busy"),
  );
  for (const event of ["join", "update", "leave"]) seen.on(`presence:${event}`, ({ id }) => events.push([event, id]));
  // They have waited for their listeners.
  const before = [
    ["join", "bob"],
    ["update", "bob"],
  ];
  await eventually(() => assert.deepEqual(events, before));
  events.length = 0;
  const again = once(there, "subscribed");
  sockets[0].terminate();
  await again;
  await seen.send("n", 1);
  assert.deepEqual((await seen.getPresence()).users.find(({ id }) => id === "bob").state, { status: "busy" });
  assert.deepEqual(
    events.filter(([event]) => event !== "update"),
    [],
  );
});
