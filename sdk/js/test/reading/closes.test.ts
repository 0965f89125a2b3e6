// What an application sees when the server closes the connection with each code: from a vector that both SDKs run.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Realtime } from "../../src/client/realtime.js";
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

const refusal = { type: "error", code: "RT_002", message: "no such user" };
const answers: Record<string, (...messages: object[]) => Response> = {
  sse: (...messages) => new Response(messages.map((each) => `data: ${JSON.stringify(each)}\n\n`).join("")),
  polling: (...messages) => Response.json({ session: "s", cursor: 0, messages }),
};

for (const transport of ["sse", "polling"] as const)
  test(`a connection by ${transport} that begins with its end has the code and the reason of that`, async () => {
    for (const [code, before, state, reason] of [
      [4001, [], "failed", "the server has ended this connection: by an administrator"],
      [4401, [], "needs-auth", "the server has ended this connection: by an administrator"],
      [4401, [refusal], "needs-auth", "no such user"],
    ] as const) {
      const end = { type: "close", code, reason: "by an administrator" };
      const fetch = (): Promise<Response> => Promise.resolve(answers[transport]!(...before, end));
      const realtime = new Realtime({ url: "http://test", transports: [transport], fetch, autoConnect: false });
      const seen: Disconnection[] = [];
      realtime.on("disconnected", (how) => seen.push(how));
      realtime.on("error", () => {});
      realtime.connect();
      await new Promise((resolve) => realtime.on("status", resolve));
      assert.deepEqual(realtime.status, { state, reason });
      assert.equal(seen[0]?.code, code);
    }
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
