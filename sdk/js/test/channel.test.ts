// A channel that is subscribed to survives whatever happens to connections: nothing is lost, nothing comes twice.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settle, Stage } from "./fake.js";
import { added, again, following, joined, snapshot } from "./helpers.js";

test("a channel goes on after its last message, and hears nothing twice", async () => {
  const { stage, heard } = await joined();
  stage.peer.message("room", 1);
  const peer = await again(stage);
  assert.deepEqual(
    peer.of("subscribe").map(({ since, epoch }) => [since, epoch]),
    [["0/11/0", "e"]],
  );
  peer.subscribed("room", { recovered: true, position: "0/99" });
  for (const number of [1, 2, 3, 2]) peer.message("room", number);
  assert.deepEqual(heard, [1, 2, 3]);
});

test("a channel without a message yet goes on from where it began", async () => {
  const { stage } = await joined();
  const peer = await again(stage);
  peer.subscribed("room", { recovered: true, position: "0/99" });
  assert.equal((await again(stage)).of("subscribe")[0]!.since, "0/10");
});

test("what is not there any more is told as a gap, and a foreign history begins anew", async () => {
  const { stage, heard } = await joined({ history: 5 });
  stage.peer.message("room", 100);
  const peer = await again(stage);
  assert.equal(peer.of("subscribe")[0]!.history, 5);
  peer.subscribed("room", { recovered: false });
  peer.message("room", 101);
  (await again(stage)).subscribed("room", { recovered: false, epoch: "other" });
  stage.peer.message("room", 3);
  assert.deepEqual(heard, [100, "gap", 101, "gap", 3]);
});

test("presence is said again as it was said last, but not that one is typing", async () => {
  const { stage, channel } = await joined({ presence: { name: "Ada" } });
  void channel.updatePresence({ status: "away", typing: true });
  await settle();
  assert.deepEqual(
    stage.peer.of("presence:update").map(({ data }) => data),
    [{ status: "away", typing: true }],
  );
  const peer = await again(stage);
  assert.deepEqual(peer.of("subscribe")[0]!.presence, { name: "Ada", status: "away" });
  assert.deepEqual(
    peer.of("presence:update").map(({ data }) => data),
    [{ status: "away" }],
  );
});

test("who came and went while we were away is told once we are back", async () => {
  const user = (id: string): object => ({ id, metadata: {}, state: {} });
  const { stage, channel } = await joined(
    { presence: true },
    {},
    { presence: { users: [user("a"), user("b")], count: 2 } },
  );
  const events: string[] = [];
  for (const event of ["join", "leave", "update"] as const)
    channel.on(`presence:${event}`, ({ id }) => events.push(`${event} ${id}`));
  (await again(stage)).subscribed("room", { recovered: true, presence: { users: [user("b"), user("c")], count: 2 } });
  assert.deepEqual(events, ["leave a", "join c"]);
  assert.equal((await channel.getPresence()).count, 2);
});

test("a subscription that was ended by the server is not asked for again", async () => {
  const { stage, channel } = await joined();
  const errors: string[] = [];
  channel.on("error", ({ code }) => errors.push(code));
  stage.peer.say({ type: "error", code: "RT_003", message: "kicked", channel: "room" });
  assert.deepEqual([errors, (await again(stage)).of("subscribe")], [["RT_003"], []]);
});

test("a subscription that the server could not open for the moment is tried again", async () => {
  const stage = new Stage();
  const subscribed = stage.realtime.channel("room").subscribe();
  stage.peer.hello();
  const { id } = stage.peer.of("subscribe")[0]!;
  stage.peer.say({ type: "error", code: "RT_001", message: "no database", channel: "room", id });
  await stage.clock.pass(1000);
  assert.equal(stage.peer.of("subscribe").length, 2);
  stage.peer.subscribed("room");
  await subscribed;
});

test("late answers to a subscription that was given up are not mistaken for the next one's", async () => {
  const stage = new Stage();
  const channel = stage.realtime.channel("room");
  const first = assert.rejects(channel.subscribe(), { code: "RT_001" });
  stage.peer.hello();
  const left = channel.unsubscribe();
  let done = false;
  const second = channel.subscribe().then(() => (done = true));
  await first;
  const [one, two] = stage.peer.of("subscribe");
  stage.peer.say({ type: "subscribed", channel: "room", id: one!.id, position: "0/1", epoch: "e" });
  await settle();
  assert.equal(done, false);
  stage.peer.say(
    { type: "unsubscribed", channel: "room", id: one!.id },
    { type: "subscribed", channel: "room", id: two!.id, position: "0/2", epoch: "e" },
  );
  await Promise.all([left, second]);
});

test("listeners that are added when subscribe() returns hear what comes with it", async () => {
  const stage = new Stage();
  const channel = stage.realtime.channel("room", { history: 2 });
  const heard: unknown[] = [];
  const done = channel.subscribe().then(() => channel.on("n", ({ data }) => heard.push(data)));
  stage.peer.hello().subscribed("room");
  stage.peer.message("room", 1);
  stage.peer.message("room", 2);
  await done;
  await settle();
  assert.deepEqual(heard, [1, 2]);
});

test("messages of reserved names cannot pose as events", async () => {
  const { stage, channel } = await joined();
  const all: string[] = [];
  channel.on("*", ({ event }) => all.push(event));
  for (const event of ["error", "gap", "presence:join", "room:closed", "subscribed"])
    channel.on(event, () => assert.fail(event));
  for (const [index, event] of ["error", "gap", "presence:join", "room:closed", "subscribed"].entries())
    stage.peer.message("room", index, { event });
  assert.equal(all.length, 5);
});

test("after unsubscribe() nothing is heard, not even what had come before", async () => {
  const { stage, channel, heard } = await joined();
  channel.on("n", () => void channel.unsubscribe().catch(assert.fail));
  const again = stage.realtime.channel("other");
  const subscribed = again.subscribe();
  again.on("n", ({ data }) => heard.push(`other ${data}`));
  stage.peer.subscribed("other");
  for (const number of [1, 2, 3]) stage.peer.message("other", number); // wait for whoever awaits the subscription
  await subscribed;
  void again.unsubscribe();
  for (const number of [1, 2, 3]) stage.peer.message("room", number); // the first one makes its listener leave
  await settle();
  assert.deepEqual(heard, [1]);
});

test("calls of subscribe() that wait are refused by disconnect(), what was subscribed comes back", async () => {
  const { stage, heard } = await joined();
  const { shown } = following(stage);
  const waiting = stage.realtime.channel("other").subscribe();
  stage.realtime.disconnect();
  await assert.rejects(waiting, { code: "RT_001", message: "disconnected before it was subscribed" });
  stage.realtime.connect();
  const peer = stage.peer.hello();
  assert.deepEqual(
    peer.of("subscribe").map(({ channel }) => channel),
    ["room", "db:collection:c"],
  );
  peer.subscribed("room", { recovered: true });
  peer.message("room", 1);
  peer.subscribed("db:collection:c", { epoch: "w" });
  snapshot(peer, "0/20", true, added("a"));
  assert.deepEqual([heard, shown], [[1], ["a"]]);
});

test("who wants to know hears when nothing has been subscribed to for a while", async () => {
  const { stage, channel } = await joined();
  const idle: number[] = [];
  stage.realtime._manager._idle = () => idle.push(stage.clock.now());
  const leave = (): void => void channel.unsubscribe();
  leave();
  const again = channel.subscribe(); // in time
  stage.peer.subscribed("room");
  await again;
  await stage.clock.pass(1000);
  assert.deepEqual(idle, []);
  leave();
  await stage.clock.pass(1000);
  assert.equal(idle.length, 1);
});
