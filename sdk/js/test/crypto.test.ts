// End-to-end encryption: only members read, nothing can be moved, keys can change.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Encryption, Sealer } from "../src/protocol/crypto.js";
import { flush, FakeServer } from "./fake_server.js";

const raw = new Uint8Array(32).fill(7);
const base64 = Buffer.alloc(32, 9).toString("base64");
const keys = { k1: raw, k2: base64 };

test("what is sealed is opened by who has the key, and looks like the documented envelope", async () => {
  const envelope: any = await new Sealer("room", { keyId: "k1", keys })._seal("e", { secret: "ß" });
  assert.deepEqual(Object.keys(envelope), ["e2ee", "kid", "iv", "ct"]);
  assert.deepEqual([envelope.e2ee, envelope.kid, Buffer.from(envelope.iv, "base64url").length], [1, "k1", 12]);
  assert.equal(Buffer.from(envelope.ct, "base64url").length, Buffer.byteLength('{"secret":"ß"}') + 16);
  assert.ok(!/[+/=]/.test(envelope.iv + envelope.ct));
  const member = new Sealer("room", { keyId: "k2", keys });
  assert.deepEqual(await member._open("e", envelope), { secret: "ß" });
  assert.notEqual(((await member._seal("e", 1)) as any).iv, ((await member._seal("e", 1)) as any).iv);
});

// The same file is the Python SDK's test: what one makes, the other opens.
const shared: any = JSON.parse(readFileSync("../../tests/support/e2ee_vectors.json", "utf8"));

for (const [number, { channel, event, data, envelope }] of shared.vectors.entries()) {
  test(`shared vector ${number} is made and opened`, async (context) => {
    const sealer = new Sealer(channel, { keyId: envelope.kid, keys: shared.keys });
    assert.deepEqual(await sealer._open(event, envelope), data);
    context.mock.method(crypto, "getRandomValues", (bytes: Uint8Array) => {
      bytes.set(Buffer.from(envelope.iv, "base64url"));
      return bytes;
    });
    assert.deepEqual(await sealer._seal(event, data), envelope);
  });
}

test("keys may be base64url, too", async () => {
  const [a, b] = [raw, Buffer.alloc(32, 7).toString("base64url")].map(
    (key) => new Sealer("room", { keyId: "k", keys: { k: key } }),
  );
  assert.equal(await b!._open("e", await a!._seal("e", 1)), 1);
});

test("another channel, event or key, a changed byte and plain text are refused", async () => {
  const sealer = new Sealer("room", { keyId: "k1", keys });
  const envelope: any = await sealer._seal("e", 1);
  const ct = Buffer.from(envelope.ct, "base64url");
  ct[0]! ^= 1;
  const refused = { code: "RT_007", channel: "room" };
  await assert.rejects(new Sealer("other", { keyId: "k1", keys })._open("e", envelope), { code: "RT_007" });
  await assert.rejects(sealer._open("f", envelope), refused);
  await assert.rejects(sealer._open("e", { ...envelope, kid: "k2" }), refused);
  await assert.rejects(sealer._open("e", { ...envelope, kid: "k3" }), refused);
  await assert.rejects(sealer._open("e", { ...envelope, kid: "toString" }), refused);
  await assert.rejects(sealer._open("e", { ...envelope, ct: ct.toString("base64url") }), refused);
  await assert.rejects(sealer._open("e", { e2ee: 1, kid: "k1" }), refused);
  await assert.rejects(sealer._open("e", { text: "plain" }), refused);
  assert.equal(await new Sealer("room", { keyId: "k1", keys, allowPlaintext: true })._open("e", "plain"), "plain");
  await assert.rejects(new Sealer("room", { keyId: "k", keys: { k: new Uint8Array(16) } })._seal("e", 1), refused);
});

test("messages keep their order, and one that cannot be read does not stop the others", async () => {
  const server = new FakeServer();
  const channel = server.realtime.channel("room", { encryption: new Encryption({ keyId: "k1", keys }) });
  void channel.subscribe();
  server.peer.hello().subscribed("room");
  await flush();
  const received: unknown[] = [];
  channel.on("n", ({ data }) => received.push(data));
  channel.on("error", ({ code }) => received.push(code));
  const sealer = new Sealer("room", { keyId: "k2", keys });
  const sealed = await Promise.all([1, 2].map((data) => sealer._seal("n", data)));
  server.peer.message("room", 1, { data: sealed[0] });
  server.peer.message("room", 2, { data: "plain" });
  server.peer.message("room", 3, { data: sealed[1] });
  for (const data of ["x".repeat(50_000), "y", "z"]) void channel.send("n", data);
  while (received.length < 3 || server.peer.of("message").length < 3) await flush();
  assert.deepEqual(received, [1, "RT_007", 2]);
  const opened = await Promise.all(server.peer.of("message").map(({ event, data }) => sealer._open(event, data)));
  assert.deepEqual(
    opened.map((data: any) => data[0]),
    ["x", "y", "z"],
  );
});

test("history is decrypted, and what cannot be is reported", async () => {
  const server = new FakeServer();
  const encryption = new Encryption({ keyId: "k1", keys });
  const channel = server.realtime.channel("room", { encryption });
  const subscribed = channel.subscribe();
  server.peer.hello().subscribed("room");
  await subscribed;
  const errors: string[] = [];
  channel.on("error", ({ code }) => errors.push(code));
  const page = channel.history();
  await flush();
  const data = await encryption._sealer("room")._seal("n", { text: "secret" });
  const message = { type: "message", channel: "room", event: "n", id: "m" };
  const messages = [
    { ...message, data },
    { ...message, data: "plain" },
  ];
  server.peer.send({
    type: "history",
    channel: "room",
    ref: server.peer.of("history")[0]!.ref,
    messages,
    before: null,
  });
  assert.deepEqual(
    (await page).messages.map((each) => each.data),
    [{ text: "secret" }],
  );
  assert.deepEqual(errors, ["RT_007"]);
});
