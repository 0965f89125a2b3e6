// Another connection takes over from one that still works: nothing is lost, nothing comes twice, no list goes back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { type Peer, settle, Stage } from "./fake.js";
import { added, following, joined, snapshot } from "./helpers.js";
import { randomOf } from "./random.js";

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
