// A channel that is subscribed to survives whatever happens to connections: nothing is lost, nothing comes twice.

import assert from "node:assert/strict";
import { test } from "node:test";

import { flush, FakeServer } from "./fake_server.js";
import { added, reconnect, followQuery, subscribedChannel, sendSnapshot } from "./helpers.js";

test("a channel resumes after its last message and receives nothing twice", async () => {
  const { server, received } = await subscribedChannel();
  server.peer.message("room", 1);
  const peer = await reconnect(server);
  assert.deepEqual(
    peer.of("subscribe").map(({ since, epoch }) => [since, epoch]),
    [["0/11/0", "e"]],
  );
  peer.subscribed("room", { recovered: true, position: "0/99" });
  for (const number of [1, 2, 3, 2]) peer.message("room", number);
  assert.deepEqual(received, [1, 2, 3]);
});

test("a channel that has had no message resumes from where it began", async () => {
  const { server } = await subscribedChannel();
  const peer = await reconnect(server);
  peer.subscribed("room", { recovered: true, position: "0/99" });
  assert.equal((await reconnect(server)).of("subscribe")[0]!.since, "0/10");
});

test("a message carries the annotation of its transaction if it was asked for", async () => {
  const { server, channel } = await subscribedChannel({ meta: true });
  const messages: object[] = [];
  channel.on("n", (message) => messages.push(message));
  server.peer.message("room", 1, { meta: { user: "ada" }, server: true });
  server.peer.message("room", 2);
  const fields = ["channel", "data", "event", "id", "position", "sender", "timestamp"];
  assert.deepEqual(
    messages.map((message) => Object.keys(message).sort()),
    [[...fields, "meta"].sort(), fields],
  );
  assert.deepEqual((messages[0] as { meta: object }).meta, { user: "ada" });
  assert.equal((await reconnect(server)).of("subscribe")[0]!.meta, true);
});

test("conflation is asked for with each subscribe", async () => {
  const conflate = { key: "id", ms: 100 };
  const { server } = await subscribedChannel({ conflate });
  assert.deepEqual(server.peer.of("subscribe")[0]!.conflate, conflate);
  assert.deepEqual((await reconnect(server)).of("subscribe")[0]!.conflate, conflate);
});

test("a message continues the trace that is given with it, also when it is sent again", async () => {
  const { server, channel } = await subscribedChannel();
  const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=1" };
  void channel.send("n", 1, trace);
  void channel.send("n", 2);
  await flush();
  const peer = await reconnect(server);
  peer.subscribed("room", { recovered: true, position: "0/99" });
  await flush();
  for (const sent of [server.peer, peer].map((each) => each.of("message"))) {
    assert.deepEqual(
      sent.map(({ traceparent, tracestate }) => ({ traceparent, tracestate })),
      [trace, { traceparent: undefined, tracestate: undefined }],
    );
    assert.equal("traceparent" in sent[1]!, false);
  }
});

test("expired messages are reported as a gap, and a foreign history begins anew", async () => {
  const { server, received } = await subscribedChannel({ history: 5 });
  server.peer.message("room", 100);
  const peer = await reconnect(server);
  assert.equal(peer.of("subscribe")[0]!.history, 5);
  peer.subscribed("room", { recovered: false });
  peer.message("room", 101);
  (await reconnect(server)).subscribed("room", { recovered: false, epoch: "other" });
  server.peer.message("room", 3);
  assert.deepEqual(received, [100, "gap", 101, "gap", 3]);
});

test("presence is sent again as it was last, but without the typing state", async () => {
  const { server, channel } = await subscribedChannel({ presence: { name: "Ada" } });
  void channel.updatePresence({ status: "away", typing: true });
  await flush();
  assert.deepEqual(
    server.peer.of("presence:update").map(({ data }) => data),
    [{ status: "away", typing: true }],
  );
  const updates = (): unknown[] => server.peer.of("presence:update").map(({ data }) => data);
  assert.deepEqual((await reconnect(server)).of("subscribe")[0]!.presence, { name: "Ada" });
  assert.deepEqual(updates(), [{ status: "away" }]);
  server.peer.send({ type: "ack", ref: server.peer.of("presence:update")[0]!.ref });
  await flush();
  assert.deepEqual((await reconnect(server)).of("subscribe")[0]!.presence, { name: "Ada", status: "away" });
  assert.deepEqual(updates(), []);
});

test("presence that was refused is not sent again", async () => {
  const { server, channel } = await subscribedChannel({ presence: { name: "Ada" } });
  const answers = ["away", "x".repeat(300), "online"].map((status) => channel.updatePresence({ status }));
  const outcomes = Promise.allSettled(answers);
  await flush();
  const [away, long, online] = server.peer.of("presence:update").map(({ ref }) => ref as string);
  server.peer.send({ type: "ack", ref: away });
  server.peer.send({ type: "error", code: "RT_009", message: "status is too long", channel: "room", ref: long });
  await flush();
  assert.deepEqual((await reconnect(server)).of("subscribe")[0]!.presence, { name: "Ada", status: "away" });
  assert.deepEqual(
    server.peer.of("presence:update").map(({ data }) => data),
    [{ status: "online" }],
  );
  server.peer.send({ type: "ack", ref: online });
  assert.deepEqual(
    (await outcomes).map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("users who came and left during an outage are reported after the reconnect", async () => {
  const user = (id: string): object => ({ id, metadata: {}, state: {} });
  const { server, channel } = await subscribedChannel(
    { presence: true },
    {},
    { presence: { users: [user("a"), user("b")], count: 2 } },
  );
  const events: string[] = [];
  for (const event of ["join", "leave", "update"] as const)
    channel.on(`presence:${event}`, ({ id }) => events.push(`${event} ${id}`));
  (await reconnect(server)).subscribed("room", {
    recovered: true,
    presence: { users: [user("b"), user("c")], count: 2 },
  });
  assert.deepEqual(events, ["leave a", "join c"]);
  assert.equal((await channel.getPresence()).count, 2);
});

test("a subscription that the server has ended is not requested again", async () => {
  const { server, channel } = await subscribedChannel();
  const errors: string[] = [];
  channel.on("error", ({ code }) => errors.push(code));
  server.peer.send({ type: "error", code: "RT_003", message: "kicked", channel: "room" });
  assert.deepEqual([errors, (await reconnect(server)).of("subscribe")], [["RT_003"], []]);
});

test("a subscription that the server could not open for the moment is tried again", async () => {
  const server = new FakeServer();
  const subscribed = server.realtime.channel("room").subscribe();
  server.peer.hello();
  const { id } = server.peer.of("subscribe")[0]!;
  server.peer.send({ type: "error", code: "RT_001", message: "no database", channel: "room", id });
  await server.clock.pass(1000);
  assert.equal(server.peer.of("subscribe").length, 2);
  server.peer.subscribed("room");
  await subscribed;
});

test("late answers to a cancelled subscription are not taken for the next one's", async () => {
  const server = new FakeServer();
  const channel = server.realtime.channel("room");
  const first = channel.subscribe(); // superseded, as in React's StrictMode: not an error
  server.peer.hello();
  const left = channel.unsubscribe();
  let done = false;
  const second = channel.subscribe().then(() => (done = true));
  await first;
  const [one, two] = server.peer.of("subscribe");
  server.peer.send({ type: "subscribed", channel: "room", id: one!.id, position: "0/1", epoch: "e" });
  await flush();
  assert.equal(done, false);
  server.peer.send(
    { type: "unsubscribed", channel: "room", id: one!.id },
    { type: "subscribed", channel: "room", id: two!.id, position: "0/2", epoch: "e" },
  );
  await Promise.all([left, second]);
});

test("messages of reserved names cannot pose as events", async () => {
  const { server, channel } = await subscribedChannel();
  const all: string[] = [];
  channel.on("*", ({ event }) => all.push(event));
  for (const event of ["error", "gap", "presence:join", "room:closed", "subscribed"])
    channel.on(event, () => assert.fail(event));
  for (const [index, event] of ["error", "gap", "presence:join", "room:closed", "subscribed"].entries())
    server.peer.message("room", index, { event });
  assert.equal(all.length, 5);
});

test("an event of presence or of rooms that there is none is refused", async () => {
  const { channel } = await subscribedChannel();
  for (const name of ["presence:joined", "room:", "room:occupieds"])
    for (const call of [() => channel.on(name, () => {}), () => channel.off(name)])
      assert.throws(call, {
        name: "TypeError",
        message: `event: one of presence:join, presence:update, presence:leave, room:created, room:updated, room:closed, room:occupied, room:vacated is expected, not ${name}`,
      });
  for (const name of ["presence:join", "room:closed", "presence", "rooms:made", "error"]) channel.on(name, () => {});
});

test("rooms that become occupied and vacated are messages, with a listener for each", async () => {
  const { server, channel } = await subscribedChannel();
  const seen: string[] = [];
  for (const name of ["room:occupied", "room:vacated"]) channel.on(name, ({ event }) => seen.push(event));
  for (const [index, event] of ["room:occupied", "room:vacated"].entries())
    server.peer.message("room", index, { event });
  assert.deepEqual(seen, ["room:occupied", "room:vacated"]);
});

test("after unsubscribe() nothing is received, not even what had come before", async () => {
  const { server, channel, received } = await subscribedChannel();
  channel.on("n", () => void channel.unsubscribe().catch(assert.fail));
  const again = server.realtime.channel("other");
  const subscribed = again.subscribe();
  again.on("n", ({ data }) => received.push(`other ${data}`));
  server.peer.subscribed("other");
  for (const number of [1, 2, 3]) server.peer.message("other", number); // wait for the callers that await the subscription
  await subscribed;
  void again.unsubscribe();
  for (const number of [1, 2, 3]) server.peer.message("room", number); // the first one makes its listener leave
  await flush();
  assert.deepEqual(received, [1]);
});

test("disconnect() ends waiting calls of subscribe() without an error; connect() restores the other subscriptions", async () => {
  const { server, received } = await subscribedChannel();
  const { shown } = followQuery(server);
  const waiting = server.realtime.channel("other").subscribe();
  server.realtime.disconnect();
  await waiting; // as in the clean-up of a component that is mounted twice
  server.realtime.connect();
  const peer = server.peer.hello();
  assert.deepEqual(
    peer.of("subscribe").map(({ channel }) => channel),
    ["room", "db:collection:c"],
  );
  peer.subscribed("room", { recovered: true });
  peer.message("room", 1);
  peer.subscribed("db:collection:c", { epoch: "w" });
  sendSnapshot(peer, "0/20", true, added("a"));
  assert.deepEqual([received, shown], [[1], ["a"]]);
});

test("an idle listener is called when nothing has been subscribed to for a while", async () => {
  const { server, channel } = await subscribedChannel();
  const idle: number[] = [];
  server.realtime._manager._idle = () => idle.push(server.clock._now());
  const leave = (): void => void channel.unsubscribe();
  leave();
  const again = channel.subscribe(); // in time
  server.peer.subscribed("room");
  await again;
  await server.clock.pass(1000);
  assert.deepEqual(idle, []);
  leave();
  await server.clock.pass(1000);
  assert.equal(idle.length, 1);
});

test("a channel that two parts of an application use is left with the second unsubscribe()", async () => {
  const { server, channel, received } = await subscribedChannel();
  await channel.subscribe();
  await channel.unsubscribe();
  server.peer.message("room", 1);
  assert.deepEqual([received, server.peer.of("unsubscribe")], [[1], []]);
  void channel.unsubscribe();
  assert.equal(server.peer.of("unsubscribe").length, 1);
});

test("a collection is no channel, and its name is refused with what to use", () => {
  const { realtime } = new FakeServer();
  assert.throws(() => realtime.channel("db:collection:c"), /^TypeError: db:collection:c: no channel; use database\(\)/);
});

test("other options of a subscribed channel are logged by their names", async (context) => {
  const { mock } = context.mock.method(console, "warn", () => {});
  const { server, channel } = await subscribedChannel({ history: 5, presence: { name: "Ada" } });
  server.realtime.channel("room");
  server.realtime.channel("room", { history: 5, presence: { name: "Ada" } });
  assert.equal(mock.callCount(), 0);
  server.realtime.channel("room", { history: 9, presence: { name: "Ada" } });
  assert.deepEqual(mock.calls[0]!.arguments, [
    "[bunbase] room is subscribed: its new history holds from the next subscribe()",
  ]);
  void channel.unsubscribe();
  server.realtime.channel("room", { history: 1 });
  assert.equal(mock.callCount(), 1);
});

test("the presence of a channel without presence is an error, not an empty list", async () => {
  const { channel } = await subscribedChannel();
  await assert.rejects(channel.getPresence(), { code: "RT_009", channel: "room" });
});

test("an error of a channel without a listener is one of the client", async () => {
  const { server } = await subscribedChannel();
  server.peer.send({ type: "error", code: "RT_003", message: "kicked", channel: "room" });
  await flush();
  assert.equal(server.events.at(-1), "error RT_003");
});

test("history is read page by page, asked again on a new connection, and only while subscribed", async () => {
  const { server, channel } = await subscribedChannel();
  const latest = channel.history({ limit: 2 });
  await flush();
  assert.deepEqual(server.peer.of("history"), [{ type: "history", channel: "room", limit: 2, ref: "1" }]);
  const peer = await reconnect(server);
  assert.deepEqual(
    peer.received.map(({ type }) => type),
    ["subscribe", "history"],
  );
  const message = { type: "message", channel: "room", event: "n", data: 1, id: "m", sender: "ada", server: true };
  peer.send({ type: "history", channel: "room", ref: "1", messages: [message], before: "0/10/1" });
  const { messages, before } = await latest;
  assert.deepEqual(messages, [{ channel: "room", event: "n", data: 1, id: "m", sender: "ada" }]);
  const earlier = channel.history({ before });
  await flush();
  assert.deepEqual(peer.of("history").at(-1), { type: "history", channel: "room", before: "0/10/1", ref: "2" });
  peer.send({ type: "history", channel: "room", ref: "2", messages: [], before: null });
  assert.deepEqual(await earlier, { messages: [], before: null });
  const refused = channel.history({ limit: 0 });
  await flush();
  peer.send({ type: "error", code: "RT_007", message: "limit", channel: "room", ref: "3" });
  await assert.rejects(refused, { code: "RT_007" });
  const other = server.realtime.channel("other").history({ before: null });
  await flush();
  assert.equal(peer.of("history").at(-1)!.before, null);
  peer.send({ type: "error", code: "RT_004", message: "subscribe first", channel: "other", ref: "4" });
  await assert.rejects(other, { code: "RT_004", channel: "other" });
});
