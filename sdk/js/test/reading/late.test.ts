// What waits in vain, or cannot begin, has the state of the connection and the reason in its error.

import assert from "node:assert/strict";
import { test } from "node:test";

import { configure, db } from "../../src/index.js";
import { RealtimeError } from "../../src/protocol/errors.js";
import { FakeServer, flush } from "../fake_server.js";

const query = ({ realtime }: FakeServer): ReturnType<ReturnType<typeof realtime.database>["collection"]> =>
  realtime.database().collection("c");

/** What `get()` and `whenSeen()` throw after their timeout. */
async function late(server: FakeServer): Promise<string[]> {
  const both = Promise.allSettled([query(server).get(100), server.realtime.whenSeen("0/1", 100)]);
  await flush();
  await server.clock.pass(100);
  return (await both).map((each) => {
    assert.ok(each.status === "rejected" && each.reason instanceof RealtimeError);
    assert.equal(each.reason.code, "RT_001");
    return each.reason.message;
  });
}

const messages = (why: string): string[] => [`no result within 100 ms${why}`, `0/1 was not seen within 100 ms${why}`];

test("what is late names what the connection lacks", async () => {
  const server = new FakeServer({ autoConnect: false, transports: ["websocket"] });
  assert.deepEqual(await late(server), messages(": the client is closed"));
  server.realtime.connect();
  assert.deepEqual(await late(server), messages(": the client is connecting"));
  server.peer.end(1006, "ECONNREFUSED");
  server.clock.chance = 0.99;
  assert.deepEqual(await late(server), messages(": the client is offline (ECONNREFUSED)"));
  await server.clock.pass(1000);
  server.peer.hello();
  assert.deepEqual(await late(server), messages(""), "it is the server that is late");
  server.peer.end();
  assert.deepEqual(await late(server), messages(": the client is offline"), "no reason is known");
});

test("a wait that ends with the connection has the server's reason, and so has what begins later", async () => {
  const server = new FakeServer();
  const waiting = query(server).get(100);
  const refused = new RealtimeError("RT_002", "the token has expired");
  server.peer.end(1006, "HTTP status 401", refused);
  await assert.rejects(waiting, refused);
  const message = "the connection has failed (the token has expired); connect() tries again";
  await assert.rejects(query(server).get(100), { code: "RT_001", message });
  await assert.rejects(server.realtime.whenSeen("0/1"), { code: "RT_001", message });
});

test("a live query alone names what its connection lacks, too", async () => {
  configure({ url: "http://127.0.0.1:9" });
  const message = /^no result within 100 ms: the client is (offline|connecting)( \(.+\))?$/;
  await assert.rejects(db.collection("c").get(100), { code: "RT_001", message });
});
