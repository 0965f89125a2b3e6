// When and how the client connects: which transport, how often, when not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Realtime } from "../src/client/realtime.js";
import { RealtimeError } from "../src/protocol/errors.js";
import { flush, FakeServer } from "./fake_server.js";
import { followQuery, subscribedChannel } from "./helpers.js";

test("the first transport that works is used", async () => {
  const server = new FakeServer();
  assert.deepEqual([server.realtime.state, server.peers.length, server.peer.transport], ["connecting", 1, 0]);
  server.peer.end();
  assert.equal(server.peer.transport, 1);
  await server.clock.pass(10_000); // opened, but what should come first never does: a proxy that buffers
  assert.equal(server.peer.transport, 2);
  server.peer.hello();
  assert.deepEqual(
    [server.realtime.state, server.realtime.transport, server.realtime.connectionId],
    ["open", "polling", "c"],
  );
  assert.deepEqual(server.events, ["connected"]);
});

test("a lost connection is retried with growing pauses, first over the same transport, then over all, and at last fails", async () => {
  const server = new FakeServer({ reconnectDelay: 1000, maxReconnectAttempts: 3 });
  server.peer.hello().end(1006, "cut");
  assert.deepEqual([server.realtime.state, server.events], ["offline", ["connected", "disconnected"]]);
  const tried: number[][] = [];
  for (const pause of [1000, 2000, 4000]) {
    const before = server.peers.length;
    await server.clock.pass(pause - 1);
    assert.equal(server.peers.length, before);
    await server.clock.pass(1);
    assert.equal(server.peers.length, before + 1);
    for (let length = 0; length < server.peers.length;) {
      length = server.peers.length;
      server.peer.end();
    }
    tried.push(server.peers.slice(before).map(({ transport }) => transport));
  }
  assert.deepEqual(tried, [[0], [0, 1, 2], [0, 1, 2]]);
  assert.deepEqual([server.realtime.state, server.events.slice(2)], ["failed", ["error RT_001"]]);
  await assert.rejects(server.realtime.channel("room").send("n", 1), { code: "RT_001" });
  await assert.rejects(server.realtime.channel("room").subscribe(), { code: "RT_001" });
  server.realtime.connect();
  server.peer.hello();
  assert.equal(server.realtime.state, "open");
});

test("waiting calls are rejected when the connection fails for good", async () => {
  const server = new FakeServer({ maxReconnectAttempts: 0, transports: ["websocket"] });
  const channel = server.realtime.channel("room");
  const waiting = [channel.subscribe(), channel.send("n", 1)].map((each) => assert.rejects(each, { code: "RT_001" }));
  server.peer.end();
  await Promise.all(waiting);
});

test("without reconnect a loss is the end", async () => {
  const server = new FakeServer({ reconnect: false });
  server.peer.hello().end();
  await server.clock.pass(60_000);
  assert.deepEqual([server.realtime.state, server.peers.length], ["closed", 1]);
});

test("without autoConnect nothing happens before connect(), and requests wait", async () => {
  const server = new FakeServer({ autoConnect: false });
  const subscribed = server.realtime.channel("room").subscribe();
  assert.deepEqual([server.realtime.state, server.peers.length], ["closed", 0]);
  server.realtime.connect();
  server.peer.hello().subscribed("room");
  await subscribed;
});

test("a client that was disconnected or rejected by the server does not reconnect", async () => {
  const ends: [number, string, RealtimeError?][] = [
    [4001, "disconnected"],
    [4401, "authentication failed"],
    [1006, "no", new RealtimeError("RT_002", "no key")],
  ];
  for (const end of ends) {
    const server = new FakeServer({ transports: ["sse"] });
    if (end[0] !== 1006) server.peer.hello();
    server.peer.end(...end);
    await server.clock.pass(600_000);
    const [state, code] = end[0] === 4001 ? ["failed", "RT_001"] : ["needs-auth", "RT_002"];
    assert.deepEqual([server.realtime.state, server.peers.length], [state, 1]);
    assert.equal(server.events.at(-1), `error ${code}`);
  }
});

test("a client that was too slow reconnects at once, one that was too fast after a pause", async () => {
  const slow = new FakeServer();
  slow.peer.hello().end(4008, "resume");
  assert.equal(slow.peers.length, 2);
  const fast = new FakeServer();
  fast.peer.hello().end(1008, "too many messages");
  await fast.clock.pass(7999);
  assert.equal(fast.peers.length, 1);
  await fast.clock.pass(1);
  assert.equal(fast.peers.length, 2);
});

test("a silent connection is pinged, and dropped if it stays silent", async () => {
  const server = new FakeServer({ heartbeatInterval: 1000, heartbeatTimeout: 300 });
  server.peer.hello();
  await server.clock.pass(900);
  server.peer.alive();
  await server.clock.pass(999);
  assert.equal(server.peer.of("ping").length, 0);
  await server.clock.pass(1);
  assert.equal(server.peer.of("ping").length, 1);
  server.peer.pong();
  await server.clock.pass(1000);
  assert.equal(server.peer.of("ping").length, 2);
  await server.clock.pass(299);
  assert.equal(server.realtime.state, "open");
  await server.clock.pass(1);
  assert.deepEqual([server.realtime.state, server.peer.open], ["offline", false]);
});

test("a better transport is tried from time to time, and used once everything is subscribed there", async () => {
  const server = new FakeServer({ upgradeInterval: 5000 });
  server.peer.end();
  const lower = server.peer.hello();
  void server.realtime.channel("room").subscribe();
  lower.subscribed("room");
  lower.message("room", 1);
  await flush();
  await server.clock.pass(5000);
  assert.deepEqual([server.peer.transport, server.realtime.transport], [0, "sse"]);
  server.peer.end();
  assert.equal(server.peers.length, 3);
  await server.clock.pass(5000);
  const better = server.peer.hello();
  assert.deepEqual(
    better.of("subscribe").map(({ since }) => since),
    ["0/11/0"],
  );
  assert.equal(server.realtime.transport, "sse");
  better.subscribed("room", { recovered: true });
  better.pong();
  assert.ok(lower.open);
  lower.pong();
  assert.deepEqual([server.realtime.transport, lower.open, better.open], ["websocket", false, true]);
  assert.deepEqual(server.events, ["connected"]);
  await server.clock.pass(20_000);
  assert.equal(server.peers.length, 4);
});

test("a better transport that never gets ready is abandoned, and the old one stays", async () => {
  const server = new FakeServer({ upgradeInterval: 5000 });
  server.peer.end();
  server.peer.hello();
  void server.realtime.channel("room").subscribe();
  server.peer.subscribed("room");
  await server.clock.pass(5000);
  const better = server.peer.hello();
  await server.clock.pass(20_000);
  server.peers[1]!.pong(); // to the heartbeat
  await server.clock.pass(10_000);
  assert.deepEqual([better.open, server.peers[1]!.open, server.realtime.transport], [false, true, "sse"]);
});

test("a draining server is left for another before it closes", async () => {
  const server = new FakeServer();
  const old = server.peer.hello();
  void server.realtime.channel("room").subscribe();
  old.subscribed("room");
  old.send({ type: "reconnect", delay: 3200 });
  await server.clock.pass(3199);
  assert.equal(server.peers.length, 1);
  await server.clock.pass(1);
  const other = server.peer.hello({ connectionId: "other" });
  other.subscribed("room", { recovered: true });
  other.pong();
  old.pong();
  assert.deepEqual([old.open, server.realtime.connectionId, server.events], [false, "other", ["connected"]]);
});

test("when the old connection ends while the new one is being prepared, the new one is used", async () => {
  const server = new FakeServer();
  const old = server.peer.hello();
  const channel = server.realtime.channel("room");
  void channel.subscribe();
  old.subscribed("room");
  await flush();
  old.send({ type: "reconnect", delay: 0 });
  await server.clock.pass(0);
  const other = server.peer.hello();
  old.end(1001);
  const received: unknown[] = [];
  channel.on("n", ({ data }) => received.push(data));
  other.subscribed("room", { recovered: true });
  other.message("room", 1);
  assert.deepEqual([server.realtime.state, server.events, received], ["open", ["connected"], [1]]);
});

test("disconnect() ends everything, also from within a listener", async () => {
  const server = new FakeServer();
  server.realtime.on("connected", () => server.realtime.disconnect());
  const peer = server.peer.hello();
  await server.clock.pass(600_000);
  assert.deepEqual(
    [server.realtime.state, peer.open, server.peers.length, server.events],
    ["closed", false, 1, ["connected", "disconnected"]],
  );
});

test("when the network returns or the page becomes visible, the client reconnects at once, or pings an open connection", async () => {
  const server = new FakeServer({ reconnectDelay: 60_000, heartbeatTimeout: 300 });
  const wake = (): void => server.realtime.reconnectNow();
  server.peer.hello().end();
  assert.equal(server.peers.length, 1);
  wake();
  assert.equal(server.peers.length, 2);
  wake(); // one attempt at a time
  assert.equal(server.peers.length, 2);
  server.peer.hello();
  wake();
  assert.equal(server.peer.of("ping").length, 1);
  await server.clock.pass(300);
  assert.equal(server.realtime.state, "offline");
});

test("when the page becomes visible on a lower transport, a better one is tried at once", async () => {
  const server = new FakeServer();
  server.peer.end();
  server.peer.hello();
  server.realtime._manager._connection._reconnectNow();
  await server.clock.pass(0);
  assert.deepEqual(
    server.peers.map(({ transport }) => transport),
    [0, 1, 0],
  );
});

test("without a network no attempt is made until it is back, however many have failed before", async () => {
  const server = new FakeServer({ maxReconnectAttempts: 2 });
  const { _connection: connection } = server.realtime._manager;
  server.peer.hello().end();
  connection._sleep(); // instead of the attempt that was to come
  await server.clock.pass(600_000);
  assert.deepEqual([server.peers.length, server.realtime.state], [1, "offline"]);
  connection._reconnectNow();
  assert.equal(server.peers.length, 2);
  connection._sleep(); // in the middle of an attempt
  await server.clock.pass(600_000);
  assert.deepEqual([server.peers.length, server.peer.open, server.realtime.state], [2, false, "offline"]);
  connection._reconnectNow();
  server.peer.hello();
  assert.deepEqual([server.peers.length, server.realtime.state], [3, "open"]);
});

test("when the browser reports that the network is gone, the connection has two seconds to prove otherwise", async () => {
  const server = new FakeServer();
  const { _connection: connection } = server.realtime._manager;
  server.peer.hello();
  connection._sleep();
  server.peer.pong();
  await server.clock.pass(2000);
  assert.equal(server.realtime.state, "open");
  connection._reconnectNow(); // an answer is waited for already, with a longer timeout
  connection._sleep();
  await server.clock.pass(2000);
  assert.deepEqual([server.realtime.state, server.events], ["offline", ["connected", "disconnected"]]);
});

test("disconnect() leaves no timer behind, whatever was in progress", async () => {
  const server = new FakeServer({ transports: ["sse", "polling"] });
  const subscribed = server.realtime.channel("room").subscribe();
  server.peer.hello().send({ type: "error", code: "RT_001", channel: "room", id: server.peer.of("subscribe")[0]!.id });
  server.peer.send({ type: "reconnect", delay: 0 });
  await server.clock.pass(0);
  server.peer.hello().subscribed("room");
  server.peer.pong(); // now the old connection is asked for what it still has
  server.realtime.disconnect();
  await subscribed;
  await server.clock.pass(2000);
  assert.equal(server.clock.waiting, 0);
});

test("a client that is refused, or closed, because of a limit waits the time that the server asks for", async () => {
  const refused = new FakeServer({ transports: ["websocket", "polling"] });
  refused.peer.end(); // a browser does not show why
  refused.peer.end(1006, "HTTP status 429", undefined, 60);
  const limit = { type: "error", code: "RT_006", message: "this user has 10 connections already", retryAfter: 60 };
  const early = new FakeServer({ transports: ["websocket"] });
  early.peer.send(limit);
  early.peer.end(1008, "too many connections");
  const late = new FakeServer({ transports: ["websocket"] });
  late.peer.hello().send(limit);
  late.peer.end(1008, "too many connections");
  for (const server of [refused, early, late]) {
    const before = server.peers.length;
    server.clock.chance = 0;
    await server.clock.pass(59_000);
    assert.equal(server.peers.length, before);
    await server.clock.pass(10_000);
    assert.equal(server.peers.length, before + 1);
    server.peer.hello().end();
    await server.clock.pass(1000);
    assert.equal(server.peers.length, before + 2, "the time was for one attempt");
  }
});

test("a subscription beyond a limit is asked for again when the server wants it, and delays nothing else", async () => {
  const { server, channel } = await subscribedChannel();
  followQuery(server);
  const asked = (): number => server.peer.of("subscribe").filter((each) => each.channel === "db:collection:c").length;
  const { id } = server.peer.of("subscribe").at(-1)!;
  const limit = { type: "error", code: "RT_006", message: "too many live queries", channel: "db:collection:c", id };
  server.peer.send({ ...limit, retryAfter: 10 });
  void channel.send("n", 1);
  assert.equal(server.peer.of("message").length, 1);
  server.peer.acknowledge();
  await server.clock.pass(9999);
  assert.equal(asked(), 1);
  await server.clock.pass(10_000);
  assert.equal(asked(), 2);
  const again = server.peer.of("subscribe").at(-1)!;
  server.peer.send({ ...limit, id: again.id });
  await server.clock.pass(20_000);
  assert.equal(asked(), 2, "without a time only the application can make room");
});

test("a socket that is left while it connects is closed once it is open, as browsers report an error otherwise", () => {
  const sockets: Socket[] = [];
  class Socket {
    readyState = 0;
    closed: unknown[] = [];
    onopen: (() => void) | undefined;
    constructor() {
      sockets.push(this);
    }
    close(code: unknown): void {
      this.closed.push(code);
    }
  }
  const realtime = new Realtime({ url: "http://test", transports: ["websocket"], WebSocket: Socket });
  realtime.disconnect();
  realtime.connect();
  const [left, next] = sockets as [Socket, Socket];
  assert.deepEqual([sockets.length, left.closed], [2, []]);
  left.onopen!();
  assert.deepEqual([left.closed, next.closed], [[1000], []]);
  next.readyState = 1;
  realtime.disconnect();
  assert.deepEqual(next.closed, [1000]);
});
