// Several parts of an application use one channel: what each of them ends is its own use alone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { flush, type FakeServer } from "../fake_server.js";
import { subscribedChannel } from "../helpers.js";

const closed = { type: "room:closed", channel: "room", position: "0/50" };

/** The server ends the subscription to `room`. */
function end({ peer }: FakeServer, code = "RT_003"): void {
  const { id } = peer.of("subscribe").at(-1)!;
  peer.send({ type: "error", code, message: "over", channel: "room", id });
}

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
