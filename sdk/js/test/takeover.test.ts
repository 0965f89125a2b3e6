// Another connection takes over from one that still works: nothing is lost, nothing comes twice, no list goes back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { type Peer, flush, FakeServer } from "./fake_server.js";
import { added, followQuery, subscribedChannel, sendSnapshot } from "./helpers.js";
import { randomOf } from "./random.js";

/** A list that shows `a`, with a second connection beside the first, which it is to take over from. */
async function takenOver(): Promise<{ server: FakeServer; shown: string[]; old: Peer; next: Peer }> {
  const server = new FakeServer();
  const { shown } = followQuery(server);
  const old = server.peer.hello();
  old.subscribed("db:collection:c");
  sendSnapshot(old, "0/10", true, added("a"));
  old.send({ type: "reconnect", delay: 0 });
  await server.clock.pass(0);
  const next = server.peer.hello();
  return { server, shown, old, next };
}

const alsoB = [{ type: "added", oldIndex: -1, newIndex: 1, doc: { id: "b", data: { id: "b" } } }];

test("during a change of transport every message is received once and in order, however the two connections interleave", async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const { server, received } = await subscribedChannel({}, { upgradeInterval: 1000, transports: ["sse", "polling"] });
    const old = server.peer;
    old.send({ type: "reconnect", delay: 0 });
    await server.clock.pass(0);
    const next = server.peer.hello();
    const recovered = random(2) > 0; // else the new connection has only what came after it subscribed
    const begun = random(5);
    let [byOld, byNext, subscribed] = [0, 0, false];
    const sendNext = (): void => {
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
      } else sendNext();
    }
    while (byOld < 8) old.message("room", ++byOld);
    old.pong();
    for (let step = 0; step < 20; step++) sendNext();
    assert.deepEqual(
      received,
      Array.from({ length: 12 }, (_, index) => index + 1),
      `seed ${seed}`,
    );
  }
});

test("a channel that is unsubscribed while another connection is being prepared stays silent when that takes over", async () => {
  const { server, channel, received } = await subscribedChannel({}, { transports: ["sse", "polling"] });
  channel.on("subscribed", () => received.push("subscribed"));
  const other = server.realtime.channel("other").subscribe();
  const old = server.peer;
  old.subscribed("other");
  await other;
  old.send({ type: "reconnect", delay: 0 });
  await server.clock.pass(0);
  const next = server.peer.hello();
  next.subscribed("room", { recovered: true });
  next.message("room", 1);
  const left = channel.unsubscribe();
  old.send({ type: "unsubscribed", channel: "room", id: old.of("unsubscribe")[0]!.id });
  await left;
  next.subscribed("other", { recovered: true });
  next.message("room", 2); // the server has not been asked yet
  next.pong();
  old.pong();
  assert.equal(old.open, false);
  next.message("room", 3);
  assert.deepEqual(received, []);
  assert.deepEqual(
    next.of("unsubscribe").map(({ channel }) => channel),
    ["room"],
  );
  const again = channel.subscribe();
  next.subscribed("room", { position: "0/20" });
  await again;
  next.message("room", 20);
  await flush();
  assert.deepEqual(received, ["subscribed", 20]);
});

test("a live query never goes back when another connection takes over", async () => {
  const { server, shown, old, next } = await takenOver();
  next.subscribed("db:collection:c", { recovered: true });
  sendSnapshot(old, "0/20", false, alsoB);
  next.pong();
  old.pong();
  assert.deepEqual(shown, ["a", "ab"]);
  sendSnapshot(next, "0/20", false, alsoB);
  assert.deepEqual(shown, ["a", "ab"]);
  await server.clock.pass(5000);
  assert.deepEqual(shown, ["a", "ab"]);
});

test("a change that was reverted during the takeover is reverted in the list, too", async () => {
  const { server, shown, old, next } = await takenOver();
  sendSnapshot(old, "0/20", false, alsoB);
  next.subscribed("db:collection:c", { recovered: true });
  next.pong();
  old.pong();
  assert.deepEqual(shown, ["a", "ab"]);
  await server.clock.pass(5000);
  assert.deepEqual(shown, ["a", "ab", "a"]);
});

test("a list that continues at positions before the shown ones is shown after a moment", async () => {
  const { server, shown, old, next } = await takenOver();
  next.subscribed("db:collection:c", { recovered: false });
  sendSnapshot(next, "0/1", true, []);
  next.pong();
  old.pong();
  for (let at = 2; at < 6; at++) {
    sendSnapshot(next, `0/${at}`, false, [
      { type: "added", oldIndex: -1, newIndex: at - 2, doc: { id: `${at}`, data: { id: `${at}` } } },
    ]);
    await server.clock.pass(400);
  }
  assert.deepEqual(shown, ["a", "234", "2345"]);
});
