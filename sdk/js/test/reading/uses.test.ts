// Several parts of an application use one channel: what each of them ends is its own use alone.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { FakeServer, flush } from "../fake_server.js";
import { subscribedChannel } from "../helpers.js";

const closed = { type: "room:closed", channel: "room", position: "0/50" };

/** The server ends the subscription to `room`. */
function end({ peer }: FakeServer, code = "RT_003"): void {
  const { id } = peer.of("subscribe").at(-1)!;
  peer.send({ type: "error", code, message: "over", channel: "room", id });
}

test("uses are begun and left as in the vectors", async () => {
  interface Step {
    subscribe?: string | null;
    as?: string;
    answer?: true;
    end?: true;
    unsubscribe?: string | null;
    leave?: string;
    left?: true;
  }
  // The tests run in the package's folder.
  const vectors = readFileSync("../../tests/support/vectors/uses.json", "utf8");
  for (const { name, steps } of (JSON.parse(vectors) as { cases: { name: string; steps: Step[] }[] }).cases) {
    const server = new FakeServer();
    const channel = server.realtime.channel("room");
    server.peer.hello();
    const kept = new Map<string | undefined, Promise<void>>();
    const left = (): number => server.peer.of("unsubscribe").length;
    for (const [number, step] of steps.entries()) {
      const before = left();
      if (step.subscribe !== undefined) {
        const use = channel.subscribe(step.subscribe ?? undefined);
        use.catch(() => {}); // some are refused
        kept.set(step.as, use);
      } else if (step.answer) server.peer.subscribed("room");
      else if (step.end) end(server);
      else if (step.leave) void channel.unsubscribe(kept.get(step.leave));
      else void channel.unsubscribe(step.unsubscribe ?? undefined);
      await flush();
      assert.equal(left() - before, step.left ? 1 : 0, `${name}: step ${number}, ${JSON.stringify(step)}`);
    }
    server.realtime.disconnect();
  }
});

test("a listener may leave a room that is closed, and subscribe again", async () => {
  const { server, channel } = await subscribedChannel();
  let again: Promise<void> | undefined;
  channel.on("room:closed", () => {
    void channel.unsubscribe();
    again = channel.subscribe();
  });
  server.peer.send(closed);
  await flush();
  server.peer.subscribed("room");
  await again;
  const received: unknown[] = [];
  channel.on("later", ({ data }) => received.push(data));
  server.peer.message("room", 1, { event: "later" });
  await flush();
  end(server, "RT_004");
  await flush();
  assert.deepEqual([received, server.events.at(-1)], [[1], "error RT_004"]);
});

test("what the server has ended is left without ending a use that began after it", async () => {
  const { server, channel, received } = await subscribedChannel();
  void channel.subscribe(); // a second component
  end(server);
  const later = channel.subscribe();
  server.peer.subscribed("room");
  await later;
  await channel.unsubscribe(); // the two clean up
  await channel.unsubscribe();
  assert.equal(server.peer.of("unsubscribe").length, 0);
  await flush();
  server.peer.message("room", 1);
  assert.deepEqual(received, [1]);
  void channel.unsubscribe();
  assert.equal(server.peer.of("unsubscribe").length, 1);
});

test("a use is ended by what subscribe() returned, in any order and once", async () => {
  const { server, channel } = await subscribedChannel();
  const left = (): number => server.peer.of("unsubscribe").length;
  const ended = channel.subscribe();
  end(server);
  const refused = channel.subscribe();
  end(server);
  await assert.rejects(refused, { code: "RT_003" });
  const later = channel.subscribe();
  server.peer.subscribed("room");
  await later;
  await channel.unsubscribe(refused); // which needed none
  await channel.unsubscribe(ended);
  await channel.unsubscribe(ended);
  await channel.unsubscribe(ended); // once too often
  assert.equal(left(), 0);
  const other = channel.subscribe();
  void channel.unsubscribe(later);
  assert.equal(left(), 0);
  void channel.unsubscribe(other);
  assert.equal(left(), 1);
});

test("each call of subscribe() is a use of its own, also of calls made together", async () => {
  const { server, channel, received } = await subscribedChannel();
  void channel.unsubscribe();
  const left = (): number => server.peer.of("unsubscribe").length;
  const [one, other] = [channel.subscribe(), channel.subscribe()];
  assert.notEqual(one, other);
  server.peer.subscribed("room");
  await Promise.all([one, other]);
  for (let time = 0; time < 3; time++) await channel.unsubscribe(one); // a clean-up that runs more than once
  await flush();
  server.peer.message("room", 1);
  assert.deepEqual([received, left()], [[1], 1]);
  void channel.unsubscribe(other);
  assert.equal(left(), 2);
});

test("uses that are named and calls of unsubscribe() that name none are counted together, whichever comes first", async () => {
  const { server, channel } = await subscribedChannel();
  void channel.unsubscribe();
  for (const namedFirst of [true, false]) {
    const before = server.peer.of("unsubscribe").length;
    const named = channel.subscribe();
    void channel.subscribe();
    server.peer.subscribed("room");
    await named;
    const leave = [() => channel.unsubscribe(named), () => channel.unsubscribe()];
    if (!namedFirst) leave.reverse();
    void leave[0]!();
    assert.equal(server.peer.of("unsubscribe").length, before);
    void leave[1]!();
    assert.equal(server.peer.of("unsubscribe").length, before + 1);
  }
});

test("a refusal rejects each call of subscribe(), and is none of who has left before", async () => {
  const { server, channel } = await subscribedChannel();
  void channel.unsubscribe();
  const unhandled: unknown[] = [];
  const listener = (error: unknown): unknown => unhandled.push(error);
  process.on("unhandledRejection", listener);
  const uses = [channel.subscribe(), channel.subscribe(), channel.subscribe()];
  void channel.unsubscribe(uses[0]); // neither is awaited
  void channel.unsubscribe(uses[2]);
  end(server);
  await assert.rejects(uses[1]!, { code: "RT_003" });
  await flush();
  process.off("unhandledRejection", listener);
  assert.deepEqual(unhandled, []);
});

test("subscribe() that was refused needs no unsubscribe()", async () => {
  const { server, channel } = await subscribedChannel();
  void channel.unsubscribe();
  for (let attempt = 0; attempt < 2; attempt++) {
    const refused = channel.subscribe();
    end(server);
    await assert.rejects(refused, { code: "RT_003" });
  }
  const later = channel.subscribe();
  server.peer.subscribed("room");
  await later;
  void channel.unsubscribe();
  assert.equal(server.peer.of("unsubscribe").length, 2);
});

test("a use that a disconnect has ended before it began is left without ending a later one", async () => {
  const { server, channel, received } = await subscribedChannel();
  void channel.unsubscribe();
  const early = channel.subscribe();
  server.realtime.disconnect();
  await early;
  server.realtime.connect();
  const later = channel.subscribe();
  server.peer.hello().subscribed("room");
  await later;
  await channel.unsubscribe();
  await flush();
  server.peer.message("room", 1);
  assert.deepEqual([received, server.peer.of("unsubscribe")], [[1], []]);
});

test("a subscription that ended while a message was decrypted has begun for who waits for it", async () => {
  let open!: (data: unknown) => void;
  const opened = new Promise((resolve) => (open = resolve));
  const encryption = { _sealer: () => ({ _open: () => opened, _seal: (_: string, data: unknown) => data }) };
  const { server, channel } = await subscribedChannel({ encryption: encryption as never });
  server.peer.message("room", 1);
  end(server);
  const again = channel.subscribe();
  server.peer.subscribed("room");
  end(server);
  open(1);
  await again;
});
