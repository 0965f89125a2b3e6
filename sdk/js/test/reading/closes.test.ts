// What an application sees when the server closes the connection with each code: from a vector that both SDKs run.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import type { Disconnection } from "../../src/protocol/types.js";
import { FakeServer, flush } from "../fake_server.js";

interface Close {
  code: number;
  error: string;
  /** When the client connects again by itself: `at once`, `later`, `never`. */
  reconnect: string;
}

const { closes } = JSON.parse(readFileSync("../../tests/support/vectors/closes.json", "utf8")) as { closes: Close[] };

for (const { code, error, reconnect } of closes)
  test(`a close with ${code} is ${error}, and the client connects ${reconnect}`, async () => {
    const server = new FakeServer({ transports: ["websocket"] });
    const seen: Disconnection[] = [];
    const failed: string[] = [];
    server.realtime.on("disconnected", (how) => seen.push(how));
    server.realtime.on("error", (refusal) => failed.push(refusal.code));
    server.peer.hello().end(code, "why");
    await flush();
    const [how] = seen;
    assert.deepEqual([how?.code, how?.reason, how?.error?.code], [code, "why", error]);
    assert.equal(how?.error?.message, "why");
    const at = server.peers.length > 1 ? "at once" : server.clock.waiting ? "later" : "never";
    assert.equal(at, reconnect);
    assert.deepEqual(failed, reconnect === "never" ? [error] : []);
    server.realtime.disconnect();
  });

test("an end by the application is no error", async () => {
  const server = new FakeServer();
  const seen: Disconnection[] = [];
  server.realtime.on("disconnected", (how) => seen.push(how));
  server.peer.hello();
  server.realtime.disconnect();
  await flush();
  assert.deepEqual(seen, [{ code: 1000, reason: "disconnected by the application" }]);
});

test("an event that there is not is a TypeError, with those that there are", () => {
  const { realtime } = new FakeServer({ autoConnect: false });
  assert.throws(() => realtime.on("disconnect" as "disconnected", () => {}), {
    name: "TypeError",
    message:
      "event: one of connected, disconnected, error, status, state, transport, message, gap is expected, not disconnect",
  });
  realtime.channel("room").on("disconnect", () => {}); // channels have any events
});
