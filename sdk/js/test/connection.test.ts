// When and how the client connects: which transport, how often, when not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { RealtimeError } from "../src/protocol/errors.js";
import { settle, Stage } from "./fake.js";

test("the first transport that works is used", async () => {
  const stage = new Stage();
  assert.deepEqual([stage.realtime.state, stage.peers.length, stage.peer.transport], ["connecting", 1, 0]);
  stage.peer.end();
  assert.equal(stage.peer.transport, 1);
  await stage.clock.pass(10_000); // opened, but what should come first never does: a proxy that buffers
  assert.equal(stage.peer.transport, 2);
  stage.peer.hello();
  assert.deepEqual(
    [stage.realtime.state, stage.realtime.transport, stage.realtime.connectionId],
    ["connected", "polling", "c"],
  );
  assert.deepEqual(stage.told, ["connected"]);
});

test("a lost connection is tried again with growing pauses, first as before, then in every way, and at last given up", async () => {
  const stage = new Stage({ reconnectDelay: 1000, maxReconnectAttempts: 3 });
  stage.peer.hello().end(1006, "cut");
  assert.deepEqual([stage.realtime.state, stage.told], ["reconnecting", ["connected", "disconnected"]]);
  const tried: number[][] = [];
  for (const pause of [1000, 2000, 4000]) {
    const before = stage.peers.length;
    await stage.clock.pass(pause - 1);
    assert.equal(stage.peers.length, before);
    await stage.clock.pass(1);
    assert.equal(stage.peers.length, before + 1);
    for (let length = 0; length < stage.peers.length;) {
      length = stage.peers.length;
      stage.peer.end();
    }
    tried.push(stage.peers.slice(before).map(({ transport }) => transport));
  }
  assert.deepEqual(tried, [[0], [0, 1, 2], [0, 1, 2]]);
  assert.deepEqual([stage.realtime.state, stage.told.slice(2)], ["failed", ["error RT_001"]]);
  await assert.rejects(stage.realtime.channel("room").send("n", 1), { code: "RT_001" });
  await assert.rejects(stage.realtime.channel("room").subscribe(), { code: "RT_001" });
  stage.realtime.connect();
  stage.peer.hello();
  assert.equal(stage.realtime.state, "connected");
});

test("what is waited for is refused when the connection is given up", async () => {
  const stage = new Stage({ maxReconnectAttempts: 0, transports: ["websocket"] });
  const channel = stage.realtime.channel("room");
  const waiting = [channel.subscribe(), channel.send("n", 1)].map((each) => assert.rejects(each, { code: "RT_001" }));
  stage.peer.end();
  await Promise.all(waiting);
});

test("without reconnect a loss is the end", async () => {
  const stage = new Stage({ reconnect: false });
  stage.peer.hello().end();
  await stage.clock.pass(60_000);
  assert.deepEqual([stage.realtime.state, stage.peers.length], ["closed", 1]);
});

test("without autoConnect nothing happens before connect(), and what is asked for waits", async () => {
  const stage = new Stage({ autoConnect: false });
  const subscribed = stage.realtime.channel("room").subscribe();
  assert.deepEqual([stage.realtime.state, stage.peers.length], ["closed", 0]);
  stage.realtime.connect();
  stage.peer.hello().subscribed("room");
  await subscribed;
});

test("who was disconnected by the server does not come back, nor who is refused", async () => {
  const ends: [number, string, RealtimeError?][] = [
    [4001, "disconnected"],
    [4401, "authentication failed"],
    [1006, "no", new RealtimeError("RT_002", "no key")],
  ];
  for (const end of ends) {
    const stage = new Stage({ transports: ["sse"] });
    if (end[0] !== 1006) stage.peer.hello();
    stage.peer.end(...end);
    await stage.clock.pass(600_000);
    assert.deepEqual([stage.realtime.state, stage.peers.length], ["failed", 1]);
    assert.equal(stage.told.at(-1), end[0] === 4001 ? "error RT_001" : "error RT_002");
  }
});

test("who was too slow comes back at once, who was too fast takes time", async () => {
  const slow = new Stage();
  slow.peer.hello().end(4008, "resume");
  assert.equal(slow.peers.length, 2);
  const fast = new Stage();
  fast.peer.hello().end(1008, "too many messages");
  await fast.clock.pass(7999);
  assert.equal(fast.peers.length, 1);
  await fast.clock.pass(1);
  assert.equal(fast.peers.length, 2);
});

test("a silent connection is asked, and dropped if it stays silent", async () => {
  const stage = new Stage({ heartbeatInterval: 1000, heartbeatTimeout: 300 });
  stage.peer.hello();
  await stage.clock.pass(900);
  stage.peer.heard();
  await stage.clock.pass(999);
  assert.equal(stage.peer.of("ping").length, 0);
  await stage.clock.pass(1);
  assert.equal(stage.peer.of("ping").length, 1);
  stage.peer.pong();
  await stage.clock.pass(1000);
  assert.equal(stage.peer.of("ping").length, 2);
  await stage.clock.pass(299);
  assert.equal(stage.realtime.state, "connected");
  await stage.clock.pass(1);
  assert.deepEqual([stage.realtime.state, stage.peer.open], ["reconnecting", false]);
});

test("a better transport is tried from time to time, and used once everything is subscribed there", async () => {
  const stage = new Stage({ upgradeInterval: 5000 });
  stage.peer.end();
  const lower = stage.peer.hello();
  void stage.realtime.channel("room").subscribe();
  lower.subscribed("room");
  lower.message("room", 1);
  await settle();
  await stage.clock.pass(5000);
  assert.deepEqual([stage.peer.transport, stage.realtime.transport], [0, "sse"]);
  stage.peer.end();
  assert.equal(stage.peers.length, 3);
  await stage.clock.pass(5000);
  const better = stage.peer.hello();
  assert.deepEqual(
    better.of("subscribe").map(({ since }) => since),
    ["0/11/0"],
  );
  assert.equal(stage.realtime.transport, "sse");
  better.subscribed("room", { recovered: true });
  better.pong();
  assert.ok(lower.open);
  lower.pong();
  assert.deepEqual([stage.realtime.transport, lower.open, better.open], ["websocket", false, true]);
  assert.deepEqual(stage.told, ["connected"]);
  await stage.clock.pass(20_000);
  assert.equal(stage.peers.length, 4);
});

test("a better transport that never gets ready is given up, and the old one goes on", async () => {
  const stage = new Stage({ upgradeInterval: 5000 });
  stage.peer.end();
  stage.peer.hello();
  void stage.realtime.channel("room").subscribe();
  stage.peer.subscribed("room");
  await stage.clock.pass(5000);
  const better = stage.peer.hello();
  await stage.clock.pass(20_000);
  stage.peers[1]!.pong(); // to the heartbeat
  await stage.clock.pass(10_000);
  assert.deepEqual([better.open, stage.peers[1]!.open, stage.realtime.transport], [false, true, "sse"]);
});

test("a draining server is left for another before it closes", async () => {
  const stage = new Stage();
  const old = stage.peer.hello();
  void stage.realtime.channel("room").subscribe();
  old.subscribed("room");
  old.say({ type: "reconnect", delay: 3200 });
  await stage.clock.pass(3199);
  assert.equal(stage.peers.length, 1);
  await stage.clock.pass(1);
  const other = stage.peer.hello({ connectionId: "other" });
  other.subscribed("room", { recovered: true });
  other.pong();
  old.pong();
  assert.deepEqual([old.open, stage.realtime.connectionId, stage.told], [false, "other", ["connected"]]);
});

test("when the old connection ends while the new one is being prepared, the new one is used", async () => {
  const stage = new Stage();
  const old = stage.peer.hello();
  const channel = stage.realtime.channel("room");
  void channel.subscribe();
  old.subscribed("room");
  await settle();
  old.say({ type: "reconnect", delay: 0 });
  await stage.clock.pass(0);
  const other = stage.peer.hello();
  old.end(1001);
  const heard: unknown[] = [];
  channel.on("n", ({ data }) => heard.push(data));
  other.subscribed("room", { recovered: true });
  other.message("room", 1);
  assert.deepEqual([stage.realtime.state, stage.told, heard], ["connected", ["connected"], [1]]);
});

test("disconnect() ends everything, also from within a listener", async () => {
  const stage = new Stage();
  stage.realtime.on("connected", () => stage.realtime.disconnect());
  const peer = stage.peer.hello();
  await stage.clock.pass(600_000);
  assert.deepEqual(
    [stage.realtime.state, peer.open, stage.peers.length, stage.told],
    ["closed", false, 1, ["connected", "disconnected"]],
  );
});

test("when the network comes back, or somebody looks at the page, it is tried at once, and an open connection is asked", async () => {
  const stage = new Stage({ reconnectDelay: 60_000, heartbeatTimeout: 300 });
  const wake = (): void => stage.realtime._manager._connection._reconnectNow();
  stage.peer.hello().end();
  assert.equal(stage.peers.length, 1);
  wake();
  assert.equal(stage.peers.length, 2);
  wake(); // one attempt at a time
  assert.equal(stage.peers.length, 2);
  stage.peer.hello();
  wake();
  assert.equal(stage.peer.of("ping").length, 1);
  await stage.clock.pass(300);
  assert.equal(stage.realtime.state, "reconnecting");
});

test("somebody who looks at the page while it is on a lower transport has a better one tried at once", async () => {
  const stage = new Stage();
  stage.peer.end();
  stage.peer.hello();
  stage.realtime._manager._connection._reconnectNow();
  await stage.clock.pass(0);
  assert.deepEqual(
    stage.peers.map(({ transport }) => transport),
    [0, 1, 0],
  );
});

test("without a network nothing is tried until it is back, however often that has failed before", async () => {
  const stage = new Stage({ maxReconnectAttempts: 2 });
  const { _connection: connection } = stage.realtime._manager;
  stage.peer.hello().end();
  connection._sleep(); // instead of the attempt that was to come
  await stage.clock.pass(600_000);
  assert.deepEqual([stage.peers.length, stage.realtime.state], [1, "reconnecting"]);
  connection._reconnectNow();
  assert.equal(stage.peers.length, 2);
  connection._sleep(); // in the middle of an attempt
  await stage.clock.pass(600_000);
  assert.deepEqual([stage.peers.length, stage.peer.open, stage.realtime.state], [2, false, "reconnecting"]);
  connection._reconnectNow();
  stage.peer.hello();
  assert.deepEqual([stage.peers.length, stage.realtime.state], [3, "connected"]);
});

test("when the browser says that the network is gone, the connection has two seconds to show that it is not", async () => {
  const stage = new Stage();
  const { _connection: connection } = stage.realtime._manager;
  stage.peer.hello();
  connection._sleep();
  stage.peer.pong();
  await stage.clock.pass(2000);
  assert.equal(stage.realtime.state, "connected");
  connection._reconnectNow(); // an answer is waited for already, with more patience
  connection._sleep();
  await stage.clock.pass(2000);
  assert.deepEqual([stage.realtime.state, stage.told], ["reconnecting", ["connected", "disconnected"]]);
});

test("disconnect() leaves no timer behind, whatever was under way", async () => {
  const stage = new Stage({ transports: ["sse", "polling"] });
  const subscribed = stage.realtime.channel("room").subscribe();
  stage.peer.hello().say({ type: "error", code: "RT_001", channel: "room", id: stage.peer.of("subscribe")[0]!.id });
  stage.peer.say({ type: "reconnect", delay: 0 });
  await stage.clock.pass(0);
  stage.peer.hello().subscribed("room");
  stage.peer.pong(); // now the old connection is asked for what it still has
  stage.realtime.disconnect();
  await assert.rejects(subscribed, { code: "RT_001" });
  await stage.clock.pass(2000);
  assert.equal(stage.clock.waiting, 0);
});
