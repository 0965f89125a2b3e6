// What is subscribed and sent survives whatever happens to connections: nothing is lost, nothing comes twice.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { Channel, ChannelOptions } from "../src/client/channel.js";
import type { RealtimeOptions } from "../src/client/realtime.js";
import type { Snapshot } from "../src/core/snapshot.js";
import { Peer, settle, Stage } from "./fake.js";
import { randomOf } from "./random.js";

async function joined(
  options: ChannelOptions = {},
  more: RealtimeOptions = {},
  answer: object = {},
): Promise<{ stage: Stage; channel: Channel; heard: unknown[] }> {
  const stage = new Stage(more);
  const channel = stage.realtime.channel("room", options);
  const subscribed = channel.subscribe();
  stage.peer.hello().subscribed("room", answer);
  await subscribed;
  await settle();
  const heard: unknown[] = [];
  channel.on("n", ({ data }) => heard.push(data));
  channel.on("gap", () => heard.push("gap"));
  return { stage, channel, heard };
}

/** Lose the connection, and be connected again. */
async function again(stage: Stage): Promise<Peer> {
  stage.peer.end();
  await stage.clock.pass(1000);
  return stage.peer.hello();
}

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

test("what is not acknowledged is sent again in order, before what is new, with the same ids", async () => {
  const { stage, channel } = await joined();
  const acks = [1, 2, 3].map((data) => channel.send("n", data));
  const before = stage.peer.of("message");
  stage.peer.say({ type: "ack", channel: "room", ref: before[0]!.ref, id: before[0]!.id, position: "0/20/0" });
  stage.peer.end();
  acks.push(channel.send("n", 4));
  await stage.clock.pass(1000);
  const peer = stage.peer.hello();
  assert.deepEqual(
    peer.sent.map(({ type, data }) => data ?? type),
    ["subscribe", 2, 3, 4],
  );
  assert.deepEqual(
    peer
      .of("message")
      .slice(0, 2)
      .map(({ id }) => id),
    before.slice(1).map(({ id }) => id),
  );
  peer.acknowledge();
  assert.deepEqual(
    (await Promise.all(acks)).map(({ id }) => id),
    [...before.map(({ id }) => id), peer.sent.at(-1)!.id],
  );
});

test("a refused message is refused to its sender only, and a full one waits", async () => {
  const { stage, channel } = await joined();
  const [bad, good] = [channel.send("n", 1), channel.send("n", 2)];
  const [first, second] = stage.peer.of("message");
  stage.peer.say({ type: "error", code: "RT_003", message: "no", channel: "room", ref: first!.ref });
  stage.peer.say({ type: "error", code: "RT_006", message: "slowly", channel: "room", ref: second!.ref });
  await assert.rejects(bad, { code: "RT_003", message: "no", channel: "room", ref: first!.ref });
  assert.equal(stage.peer.of("message").length, 2);
  await stage.clock.pass(1000);
  assert.equal(stage.peer.of("message").at(-1)!.id, second!.id);
  stage.peer.say({ type: "ack", channel: "room", ref: second!.ref, id: second!.id });
  assert.equal((await good).id, second!.id);
});

test("many messages are paced, and leave in order", async () => {
  const { stage, channel } = await joined();
  for (let data = 0; data < 300; data++) void channel.send("n", data);
  assert.ok(stage.peer.of("message").length < 50);
  for (let second = 0; stage.peer.of("message").length < 300; second++) {
    assert.ok(second < 50);
    stage.peer.acknowledge();
    await stage.clock.pass(100);
  }
  assert.deepEqual(
    stage.peer.of("message").map(({ data }) => data),
    Array.from({ length: 300 }, (_, index) => index),
  );
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

test("during a change of transport every message is heard once and in order, however the two connections interleave", async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const { stage, heard } = await joined({}, { upgradeInterval: 1000, transports: ["sse", "polling"] });
    const old = stage.peer;
    old.say({ type: "reconnect", delay: 0 });
    await stage.clock.pass(0);
    const next = stage.peer.hello();
    const recovered = random(2) > 0; // else the new connection has only what came after it subscribed
    const begun = random(5);
    let [byOld, byNext, subscribed] = [0, 0, false];
    const sayNext = (): void => {
      if (!subscribed) {
        if (byOld < begun && !recovered) return;
        next.subscribed("room", { recovered, position: `0/${(16 + begun).toString(16)}` });
        byNext = recovered ? 0 : begun;
        subscribed = true;
        next.pong();
      } else if (byNext < 12) next.message("room", ++byNext);
    };
    for (let step = 0; step < 60; step++) {
      if (random(2)) {
        if (byOld < 8) old.message("room", ++byOld);
      } else sayNext();
    }
    while (byOld < 8) old.message("room", ++byOld);
    old.pong();
    for (let step = 0; step < 20; step++) sayNext();
    assert.deepEqual(
      heard,
      Array.from({ length: 12 }, (_, index) => index + 1),
      `seed ${seed}`,
    );
  }
});

test("a channel that is left while another connection is being prepared stays silent when that takes over", async () => {
  const { stage, channel, heard } = await joined({}, { transports: ["sse", "polling"] });
  channel.on("subscribed", () => heard.push("subscribed"));
  const other = stage.realtime.channel("other").subscribe();
  const old = stage.peer;
  old.subscribed("other");
  await other;
  old.say({ type: "reconnect", delay: 0 });
  await stage.clock.pass(0);
  const next = stage.peer.hello();
  next.subscribed("room", { recovered: true });
  next.message("room", 1);
  const left = channel.unsubscribe();
  old.say({ type: "unsubscribed", channel: "room", id: old.of("unsubscribe")[0]!.id });
  await left;
  next.subscribed("other", { recovered: true });
  next.message("room", 2); // the server has not been asked yet
  next.pong();
  old.pong();
  assert.equal(old.open, false);
  next.message("room", 3);
  assert.deepEqual(heard, []);
  assert.deepEqual(
    next.of("unsubscribe").map(({ channel }) => channel),
    ["room"],
  );
  const again = channel.subscribe();
  next.subscribed("room", { position: "0/20" });
  await again;
  next.message("room", 20);
  await settle();
  assert.deepEqual(heard, ["subscribed", 20]);
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

// Live queries.

const added = (...ids: string[]): object[] =>
  ids.map((id, newIndex) => ({ type: "added", oldIndex: -1, newIndex, doc: { id, data: { id } } }));

function following(stage: Stage): { shown: string[]; snapshots: Snapshot[] } {
  const snapshots: Snapshot[] = [];
  const shown: string[] = [];
  stage.realtime
    .database()
    .collection("c")
    .onSnapshot((snapshot) => {
      snapshots.push(snapshot);
      shown.push(snapshot.docs.map(({ id }) => id).join(""));
    });
  return { shown, snapshots };
}

function snapshot(peer: Peer, position: string, reset: boolean, changes: object[]): void {
  const { id } = peer.of("subscribe").at(-1)!;
  peer.say({ type: "snapshot", channel: "db:collection:c", id, position, reset, changes });
}

test("a live query goes on from its last snapshot, and shows nothing if nothing has changed", async () => {
  const stage = new Stage();
  const { shown, snapshots } = following(stage);
  stage.peer.hello().subscribed("db:collection:c");
  snapshot(stage.peer, "0/10", true, added("a", "b"));
  const peer = await again(stage);
  const { since, epoch, query } = peer.of("subscribe")[0]!;
  assert.deepEqual([since, epoch, query], ["0/10", "e", {}]);
  peer.subscribed("db:collection:c", { recovered: true, position: "0/30" });
  assert.deepEqual(shown, ["ab"]);
  snapshot(peer, "0/40", false, [{ type: "removed", oldIndex: 0, newIndex: -1, doc: { id: "a", data: { id: "a" } } }]);
  assert.deepEqual([shown, snapshots[1]!.changes.length], [["ab", "b"], 1]);
  const third = await again(stage);
  third.subscribed("db:collection:c", { recovered: false });
  snapshot(third, "0/50", true, added("b"));
  assert.deepEqual(shown, ["ab", "b"]);
  snapshot(third, "0/60", true, added("c", "b"));
  assert.deepEqual(
    [shown.at(-1), snapshots[2]!.changes.map(({ type, doc }) => `${type} ${doc.id}`)],
    ["cb", ["added c"]],
  );
});

test("a live query goes on in the epoch of its last snapshot, not in that of an answer without one", async () => {
  const stage = new Stage();
  const { shown } = following(stage);
  stage.peer.hello().subscribed("db:collection:c");
  snapshot(stage.peer, "0/10", true, added("a", "b"));
  const other = { recovered: false, epoch: "other" };
  (await again(stage)).subscribed("db:collection:c", other); // and the connection breaks before the list comes
  const third = await again(stage);
  const resumed = (peer: Peer): unknown[] => peer.of("subscribe").map(({ since, epoch }) => [since, epoch]);
  assert.deepEqual(resumed(third), [["0/10", "e"]]);
  third.subscribed("db:collection:c", other);
  snapshot(third, "0/40", true, added("c"));
  assert.deepEqual(shown, ["ab", "c"]);
  assert.deepEqual(resumed(await again(stage)), [["0/40", "other"]]);
});

/** A list that shows `a`, with a second connection beside the first, which it is to take over from. */
async function takenOver(): Promise<{ stage: Stage; shown: string[]; old: Peer; next: Peer }> {
  const stage = new Stage();
  const { shown } = following(stage);
  const old = stage.peer.hello();
  old.subscribed("db:collection:c");
  snapshot(old, "0/10", true, added("a"));
  old.say({ type: "reconnect", delay: 0 });
  await stage.clock.pass(0);
  const next = stage.peer.hello();
  return { stage, shown, old, next };
}

const alsoB = [{ type: "added", oldIndex: -1, newIndex: 1, doc: { id: "b", data: { id: "b" } } }];

test("a live query never goes back when another connection takes over", async () => {
  const { stage, shown, old, next } = await takenOver();
  next.subscribed("db:collection:c", { recovered: true });
  snapshot(old, "0/20", false, alsoB);
  next.pong();
  old.pong();
  assert.deepEqual(shown, ["a", "ab"]);
  snapshot(next, "0/20", false, alsoB);
  assert.deepEqual(shown, ["a", "ab"]);
  await stage.clock.pass(5000);
  assert.deepEqual(shown, ["a", "ab"]);
});

test("a change that was taken back while the connections changed is taken back in the list, too", async () => {
  const { stage, shown, old, next } = await takenOver();
  snapshot(old, "0/20", false, alsoB);
  next.subscribed("db:collection:c", { recovered: true });
  next.pong();
  old.pong();
  assert.deepEqual(shown, ["a", "ab"]);
  await stage.clock.pass(5000);
  assert.deepEqual(shown, ["a", "ab", "a"]);
});

test("a list that goes on behind the positions shown before is shown after a moment", async () => {
  const { stage, shown, old, next } = await takenOver();
  next.subscribed("db:collection:c", { recovered: false });
  snapshot(next, "0/1", true, []);
  next.pong();
  old.pong();
  for (let at = 2; at < 6; at++) {
    snapshot(next, `0/${at}`, false, [
      { type: "added", oldIndex: -1, newIndex: at - 2, doc: { id: `${at}`, data: { id: `${at}` } } },
    ]);
    await stage.clock.pass(400);
  }
  assert.deepEqual(shown, ["a", "234", "2345"]);
});

test("a query is written as the protocol has it", () => {
  const stage = new Stage();
  const collection = stage.realtime.database().collection<{ roomId: string; at: number }>("c");
  const specs = [
    collection.where("roomId", "==", "r").where({ not: ["at", "is-null"] }).where("at", "is-not-null").orderBy("at", "desc").orderBy("roomId", "asc", "nulls-last").limit(5).startAfter(1, "x"),
    collection.startAt(1).endAt(2), collection.endBefore(3), collection,
    collection.sql<{ n: number }>("select count(*) as n from c where at > $1", [1]),
  ]; // prettier-ignore
  assert.deepEqual(specs.map(({ _spec }) => _spec), [
    {
      where: [["roomId", "==", "r"], { not: ["at", "is-null"] }, ["at", "is-not-null"]],
      orderBy: [["at", "desc"], ["roomId", "asc", "nulls-last"]], limit: 5, startAfter: [1, "x"],
    },
    { startAt: [1], endAt: [2] }, { endBefore: [3] }, {},
    { sql: "select count(*) as n from c where at > $1", params: [1] },
  ]); // prettier-ignore
});

test("a request that is larger than the server takes is refused here, on every connection, and disturbs nothing else", async () => {
  const stage = new Stage();
  const errors: string[] = [];
  const collection = stage.realtime.database().collection("t");
  const hello = { limits: { messageSize: 2000 } };
  collection.onSnapshot(() => {});
  collection.where("name", "in", ["ü".repeat(1000)]).onSnapshot(
    () => {},
    ({ code, message }) => errors.push(`${code} ${message}`),
  );
  stage.peer.hello(hello);
  await settle();
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /^RT_005 the message has 2\d{3} bytes; at most 2000 are allowed$/);
  assert.equal(stage.peer.of("subscribe").length, 1);
  assert.equal(stage.peer.open, true);
  stage.peer.end();
  await stage.clock.pass(1000);
  assert.equal(stage.peer.hello(hello).of("subscribe").length, 1);
});
