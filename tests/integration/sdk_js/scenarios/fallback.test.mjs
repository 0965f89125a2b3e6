// Networks that block: down to what works and up again, without losing or doubling anything.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";

import { NetworkGate } from "./gate.mjs";
import { client, closeAll, control, eventually, name, once, sql, url, ws } from "./support.mjs";
import { Encryption } from "../../../../sdk/js/dist/crypto.js";

let gate;
before(async () => (gate = await NetworkGate.open(url)));
after(() => gate.close());
afterEach(closeAll);

const upTo = (count) => Array.from({ length: count }, (_, index) => index);

test("WebSockets blocked, then event streams held back, then both free again: every message once and in order, and no member leaves", async () => {
  await sql("truncate messages restart identity");
  const room = name("presence");
  const watcher = client();
  const seen = watcher.channel(room);
  const leaves = [];
  await seen.subscribe();
  for (const event of ["leave", "join"]) seen.on(`presence:${event}`, () => leaves.push(event));
  const other = [];
  seen.on("n", ({ data }) => other.push(data));

  const options = {
    url: gate.url,
    connectTimeout: 3000, // the gate refuses all but event streams at once, and a busy machine takes its time
    upgradeInterval: 500,
    heartbeatInterval: 1000,
    heartbeatTimeout: 10_000,
  };
  const realtime = client(options);
  const channel = realtime.channel(room);
  const received = [];
  const changes = [];
  channel.on("n", ({ data }) => received.push(data));
  channel.on("gap", () => received.push("gap"));
  realtime.on("transport", () => changes.push(realtime.transport));
  let list = [];
  let shown;
  realtime
    .database()
    .collection("messages")
    .onSnapshot((snapshot) => {
      for (const { doc, oldIndex, newIndex } of snapshot.changes) {
        if (oldIndex >= 0) list.splice(oldIndex, 1);
        if (newIndex >= 0) list.splice(newIndex, 0, doc);
      }
      assert.deepEqual(list, snapshot.docs);
      shown = snapshot.docs.map((doc) => doc.data().body);
    });
  await channel.subscribe();
  await eventually(() => assert.deepEqual(leaves, ["join"]));

  let count = 0;
  const done = [];
  const chatter = setInterval(() => {
    done.push(seen.send("n", count++), channel.send("n", count++));
    done.push(sql(`insert into messages (room_id, body) values ('r', '${count}')`));
  }, 20);
  try {
    for (const [blocked, wanted] of [
      [[], "websocket"],
      [["websocket"], "sse"],
      [["websocket", "sse"], "polling"],
      [["websocket"], "sse"],
      [[], "websocket"],
    ]) {
      gate.block(...blocked);
      await eventually(() => assert.equal(realtime.transport, wanted));
      const from = received.length;
      await eventually(() => assert.ok(received.length > from + 20));
    }
  } finally {
    clearInterval(chatter);
  }
  await Promise.all(done);
  await eventually(() =>
    assert.deepEqual(
      [...received].sort((a, b) => a - b),
      upTo(count),
    ),
  );
  await eventually(() => assert.deepEqual(other, received));
  await eventually(async () =>
    assert.deepEqual([...shown].sort(), (await sql("select body from messages")).map(([body]) => body).sort()),
  );
  for (const parity of [0, 1])
    assert.deepEqual(
      received.filter((n) => n % 2 === parity),
      upTo(count).filter((n) => n % 2 === parity),
    );
  assert.deepEqual(changes, ["websocket", "sse", "polling", "sse", "websocket"]);
  assert.deepEqual(leaves, ["join"]);
});

test("nothing works at first, then something: it is found", async () => {
  gate.block("websocket", "sse", "polling");
  const realtime = client({ url: gate.url, connectTimeout: 3000 });
  const sent = realtime.channel(name()).send("n", 1);
  await eventually(() => assert.equal(realtime.state, "offline"));
  gate.block("websocket", "sse");
  await sent;
  assert.equal(realtime.transport, "polling");
  gate.block();
});

test("a half-open connection is noticed within the configured time", async () => {
  const realtime = client({ url: gate.url, transports: ["websocket"], heartbeatInterval: 500, heartbeatTimeout: 3000 });
  await once(realtime, "connected");
  await control("freeze");
  const lost = await once(realtime, "disconnected");
  await control("thaw");
  const { error, ...close } = lost;
  assert.deepEqual(close, { code: 1006, reason: "the server is silent" });
  assert.deepEqual([error.code, error.message], ["RT_001", close.reason]);
  await once(realtime, "connected");
});

test("members of an encrypted channel read each other; the server and its tables see only ciphertext", async () => {
  const room = name();
  const keys = { k1: Buffer.alloc(32, 1), k2: Buffer.alloc(32, 2).toString("base64url") };
  const here = client().channel(room, { encryption: new Encryption({ keyId: "k1", keys }) });
  const there = client({ transports: ["polling"] }).channel(room, {
    encryption: new Encryption({ keyId: "k2", keys }),
  });
  const stranger = client().channel(room, {
    encryption: new Encryption({ keyId: "k1", keys: { k1: Buffer.alloc(32, 3) } }),
  });
  await Promise.all([here, there, stranger].map((each) => each.subscribe()));
  const received = [];
  const refused = [];
  there.on("n", ({ data }) => received.push(data));
  stranger.on("n", () => assert.fail("without the key"));
  stranger.on("error", ({ code }) => refused.push(code));
  const acks = upTo(10).map((n) => (n % 2 ? here : there).send("n", { secret: n }));
  await eventually(() => assert.deepEqual(received.map(({ secret }) => secret).sort(), upTo(10)));
  await eventually(() => assert.deepEqual(refused, Array(10).fill("RT_007")));
  const stored = await sql(
    `select payload->>'kid', payload->>'ct' ~ '^[A-Za-z0-9_-]+$', payload::text like '%secret%' from realtime.messages where channel = '${room}'`,
  );
  assert.deepEqual(stored.map((row) => row.join(" ")).sort(), [
    ...Array(5).fill("k1 True False"),
    ...Array(5).fill("k2 True False"),
  ]);
  await Promise.all(acks);
});

test("a history that had not arrived when the connection broke arrives with all that came later", async () => {
  let breaking = true;
  let breaks = 0;
  class BreaksBeforeMessages extends ws {
    emit(event, data, ...more) {
      if (!breaking || event !== "message" || !data.includes("a-message")) return super.emit(event, data, ...more);
      breaks++;
      this.terminate();
      return true;
    }
  }
  const writer = client().channel(name());
  for (const each of upTo(4)) await writer.send("a-message", each);
  const options = { transports: ["websocket"], WebSocket: BreaksBeforeMessages, maxReconnectDelay: 200 };
  const channel = client(options).channel(writer.name, { history: 2 });
  const received = [];
  channel.on("a-message", ({ data }) => received.push(data));
  channel.on("gap", () => received.push("gap"));
  await channel.subscribe();
  for (const each of upTo(4)) await writer.send("a-message", 4 + each);
  await eventually(() => assert.ok(breaks > 2));
  breaking = false;
  await eventually(() => assert.deepEqual(received, [2, 3, 4, 5, 6, 7]));
});
