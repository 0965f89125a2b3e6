// What is sent survives whatever happens to connections, is paced, and fits the server's limits.

import assert from "node:assert/strict";
import { test } from "node:test";

import { settle, Stage } from "./fake.js";
import { joined } from "./helpers.js";

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
