// A server that is about to go: its clients have moved to the other one before, unnoticed.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { client, closeAll, control, eventually, name, transports } from "./support.mjs";

afterEach(closeAll);

test("a rolling restart loses nothing, doubles nothing, and no member leaves", async () => {
  const room = name("presence");
  const people = ["ada", "bob"].map((user) => client({ user, upgradeInterval: 1000 }));
  const channels = people.map((each) => each.channel(room));
  const received = channels.map((channel) => {
    const list = [];
    channel.on("n", ({ data }) => list.push(data));
    channel.on("gap", () => list.push("gap"));
    return list;
  });
  await Promise.all(channels.map((channel) => channel.subscribe()));
  const leaves = [];
  channels[0].on("presence:leave", ({ id }) => leaves.push(id));
  const acks = [];
  let count = 0;
  const chatter = setInterval(() => acks.push(channels[count % 2].send("n", count++)), 20);
  await eventually(() => assert.ok(count > 20));
  await control("stop");
  await control("start");
  await eventually(() => assert.ok(people.every(({ state }) => state === "open")));
  const from = count;
  await eventually(() => assert.ok(count > from + 20));
  clearInterval(chatter);
  await Promise.all(acks);
  await eventually(() =>
    assert.deepEqual(
      [...received[0]].sort((a, b) => a - b),
      Array.from({ length: count }, (_, index) => index),
    ),
  );
  await eventually(() => assert.deepEqual(received[1], received[0]));
  assert.ok(transports.length);
});
