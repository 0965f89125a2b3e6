// What the listeners of a channel get of what came before them. More is in the vectors.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeServer, flush } from "../fake_server.js";
import { subscribedChannel } from "../helpers.js";

test("listeners that are added when subscribe() returns receive what comes with it", async () => {
  const server = new FakeServer();
  const channel = server.realtime.channel("room", { history: 2 });
  const received: unknown[] = [];
  const done = channel.subscribe().then(() => channel.on("n", ({ data }) => received.push(data)));
  server.peer.hello().subscribed("room");
  server.peer.message("room", 1);
  server.peer.message("room", 2);
  await done;
  await flush();
  assert.deepEqual(received, [1, 2]);
});

test("messages that came with the subscription wait for the first listener, however late it is added", async () => {
  const { server, channel } = await subscribedChannel({ history: 2 });
  channel.off("n");
  const late = server.realtime.channel("late", { history: 2 });
  const subscribed = late.subscribe();
  server.peer.subscribed("late", { since: "0/8" });
  server.peer.message("late", 1);
  server.peer.message("late", 2);
  await subscribed;
  for (let turn = 0; turn < 3; turn++) await flush();
  const received: unknown[] = [];
  late.on("n", ({ data }) => received.push(data));
  late.on("*", ({ data }) => received.push(`* ${data as number}`));
  server.peer.message("late", 3);
  await flush();
  assert.deepEqual(received, [1, "* 1", 2, "* 2", 3, "* 3"]);
});

test("a listener that adds another gives it what waits in its order", async () => {
  const { server, channel } = await subscribedChannel();
  for (const [number, event] of ["b", "a", "b", "a"].entries()) server.peer.message("room", number, { event });
  const received: unknown[] = [];
  channel.on("a", ({ data }) => data === 1 && channel.on("*", ({ data }) => received.push(data)));
  await flush();
  assert.deepEqual(received, [0, 2, 3]);
});

test("what waits for listeners is dropped when one of them unsubscribes, and at most a thousand wait", async () => {
  const { server, channel } = await subscribedChannel();
  for (let number = 0; number < 1002; number++) server.peer.message("room", number, { event: "a" });
  const received: unknown[] = [];
  channel.on("a", ({ data }) => {
    received.push(data);
    if (data === 4) void channel.unsubscribe();
  });
  await flush();
  assert.deepEqual(received, [2, 3, 4]);
});

test("a lost message to the connection is a gap of the client, and an error about * is one of its subscription", async () => {
  const { server } = await subscribedChannel();
  const received: unknown[] = [];
  server.realtime.on("message", ({ data }) => received.push(data));
  server.realtime.on("gap", () => received.push("gap"));
  server.peer.message("*", 1);
  server.peer.send({ type: "gap", channel: "*" });
  server.peer.message("*", 2);
  await flush();
  assert.deepEqual(received, [1, "gap", 2]);
  const all = server.realtime.channel("*").subscribe();
  server.peer.send({ type: "error", code: "RT_007", message: "no such name", channel: "*" });
  await assert.rejects(all, { code: "RT_007" });
});
