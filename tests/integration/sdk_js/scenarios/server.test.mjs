// @bunbase/sdk/server: all that a server may do over the REST API.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { Encryption } from "../../../../sdk/js/dist/crypto.js";
import { configure, RealtimeServer, realtime } from "../../../../sdk/js/dist/server.js";
import { client, closeAll, eventually, name, once, restKey as apiKey, url } from "./support.mjs";

after(closeAll);
const server = new RealtimeServer({ url, apiKey });

test("rooms are made, read, changed and closed", async () => {
  const room = name();
  assert.equal((await server.createRoom(room, { capacity: 5, maxMessages: 10 })).capacity, 5);
  await assert.rejects(server.createRoom(room), { code: "RT_007" });
  assert.deepEqual((await server.updateRoom(room, { capacity: null, metadata: { topic: "tea" } })).capacity, null);
  const { metadata, maxMessages, closedAt } = await server.getRoom(room);
  assert.deepEqual([metadata, maxMessages, closedAt], [{ topic: "tea" }, 10, null]);
  await server.closeRoom(room);
  assert.notEqual((await server.getRoom(room)).closedAt, null);
});

test("history is read page by page, and what is published encrypted is stored so", async () => {
  const room = name();
  const encryption = new Encryption({ keyId: "k", keys: { k: new Uint8Array(32) } });
  const channel = server.channel(room);
  for (const n of [1, 2, 3]) await channel.broadcast("n", n);
  await server.channel(room, { encryption }).broadcast("n", "secret");
  const last = await channel.history({ limit: 2 });
  assert.deepEqual([last.messages[0].data, last.messages[1].data.kid], [3, "k"]);
  const first = await channel.history({ before: last.before });
  assert.deepEqual([first.messages.map(({ data }) => data), first.before], [[1, 2], null]);
});

test("a message reaches all, some users, or several channels, and a connection can be ended", async () => {
  const ada = client({ user: "ada" });
  await once(ada, "connected");
  for (const options of [{}, { users: ["ada"] }]) {
    const received = once(ada, "message");
    await server.broadcast("news", { a: 1 }, options);
    assert.deepEqual((await received).data, { a: 1 });
  }
  const room = name();
  const channel = ada.channel(room);
  await channel.subscribe();
  const received = once(channel, "news");
  await server.broadcast("news", 7, { channels: [room] });
  assert.equal((await received).data, 7);
  await eventually(async () => assert.equal((await server.getConnections({ userId: "ada" })).length, 1));
  const ended = once(ada, "error");
  await server.disconnect(ada.connectionId);
  assert.equal((await ended).code, "RT_001");
});

test("the exported server is configured as the rest of the package is", async () => {
  configure({ url, apiKey });
  assert.deepEqual(await realtime.getConnections({ userId: "nobody" }), []);
});
