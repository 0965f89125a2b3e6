// Live queries and channels as async iterators.

import assert from "node:assert/strict";
import { test } from "node:test";

import { messages, snapshots } from "../../src/client/iterators.js";
import type { Encryption } from "../../src/protocol/crypto.js";
import { RealtimeError } from "../../src/protocol/errors.js";
import { FakeServer, flush, type Peer } from "../fake_server.js";
import { added, sendSnapshot, subscribedChannel } from "../helpers.js";

const one = (type: string, id: string, oldIndex: number, newIndex: number): object[] => [
  { type, oldIndex, newIndex, doc: { id, data: { id } } },
];
const coded =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof RealtimeError && error.code === code;

test("snapshots are iterated over, and break unsubscribes", async () => {
  const server = new FakeServer();
  const seen: string[][] = [];
  const loop = (async () => {
    for await (const { docs, changes } of snapshots(server.realtime.database().collection("c"))) {
      seen.push([docs.map(({ id }) => id).join(""), ...changes.map(({ type, doc }) => `${type} ${doc.id}`)]);
      if (seen.length === 2) break;
    }
  })();
  server.peer.hello().subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, added("a"));
  await flush();
  assert.deepEqual(seen, [["a", "added a"]]);
  sendSnapshot(server.peer, "0/20", false, one("added", "b", -1, 1));
  await loop;
  assert.deepEqual(seen[1], ["ab", "added b"]);
  assert.equal(server.peer.of("unsubscribe").length, 1);
});

test("a slow loop gets fewer snapshots, each with the changes since the one before, and meta of one transaction only", async () => {
  const server = new FakeServer();
  const found = snapshots(server.realtime.database().collection("c"), { meta: true });
  const next = async (): Promise<unknown[]> => {
    const { docs, doc, changes, meta, position } = ((await found.next()) as IteratorYieldResult<never>).value;
    const ids = (docs as { id: string }[]).map(({ id }) => id);
    assert.equal((doc as { id: string } | undefined)?.id, ids[0]);
    const types = (changes as { type: string; doc: { id: string } }[]).map(({ type, doc: { id } }) => `${type} ${id}`);
    return [ids.join(""), types, meta, position];
  };
  server.peer.hello().subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, added("a"));
  sendSnapshot(server.peer, "0/20", false, one("added", "b", -1, 1), { meta: { by: "ada" } });
  sendSnapshot(server.peer, "0/30", false, one("removed", "a", 0, -1), { meta: { by: "bob" } });
  assert.deepEqual(await next(), ["b", ["added b"], undefined, "0/30"]);
  sendSnapshot(server.peer, "0/40", false, one("added", "c", -1, 1), { meta: { by: "bob" } });
  assert.deepEqual(await next(), ["bc", ["added c"], { by: "bob" }, "0/40"]);
  sendSnapshot(server.peer, "0/50", false, one("removed", "c", 1, -1));
  sendSnapshot(server.peer, "0/60", false, one("added", "c", -1, 1)); // it is again as it was
  let over = false;
  const waiting = next().finally(() => (over = true));
  await flush();
  assert.equal(over, false);
  sendSnapshot(server.peer, "0/70", false, one("removed", "b", 0, -1));
  assert.deepEqual(await waiting, ["c", ["removed b"], undefined, "0/70"]);
  const last = found.next(); // is answered when it is ended meanwhile
  await found.return!();
  assert.equal((await last).done, true);
  assert.equal(server.peer.of("unsubscribe").length, 1);
});

test("the error of a query is thrown by its iterator, once, and never without one", async () => {
  const server = new FakeServer();
  const found = snapshots(server.realtime.database().collection("c"));
  server.peer.hello();
  const { id } = server.peer.of("subscribe")[0]!;
  server.peer.send({ type: "error", code: "RT_004", message: "no collection", channel: "db:collection:c", id });
  await assert.rejects(found.next(), coded("RT_004"));
  assert.equal((await found.next()).done, true);
  const unread = snapshots(server.realtime.database().collection("c"));
  await unread.return!();
  assert.equal((await unread.next()).done, true);
});

const send = (peer: Peer, position: number, data: unknown, event = "n"): void =>
  peer.send({
    type: "message",
    channel: "room",
    event,
    data,
    id: `${position}`,
    sender: null,
    position: `0/1/${position}`,
  });

test("messages are iterated over from those that waited for a listener on, all or of one event", async () => {
  const server = new FakeServer();
  const channel = server.realtime.channel("room");
  const subscribed = channel.subscribe();
  server.peer.hello().subscribed("room");
  await subscribed;
  send(server.peer, 1, "early");
  const all = messages(channel);
  const some = messages(channel, "other");
  await flush();
  send(server.peer, 2, 2);
  send(server.peer, 3, 3, "other");
  const seen: unknown[] = [];
  const loop = (async () => {
    for await (const { data } of all) seen.push(data);
  })();
  assert.equal((await some.next()).value.data, 3);
  await flush();
  assert.deepEqual(seen, ["early", 2, 3]);
  const waiting = some.next();
  const left = channel.unsubscribe();
  await loop; // it ends with the subscription
  assert.equal((await waiting).done, true);
  void left;
});

test("break collects no more, and leaves the channel as it is", async () => {
  const { server, channel, received } = await subscribedChannel();
  const found = messages(channel);
  send(server.peer, 1, 1);
  for await (const { data } of found) {
    assert.equal(data, 1);
    break;
  }
  send(server.peer, 2, 2);
  assert.equal((await found.next()).done, true);
  assert.deepEqual(received, [1, 2]);
  assert.equal(server.peer.of("unsubscribe").length, 0);
});

test("a full buffer ends the iteration with an error after what waits, or leaves the oldest out", async () => {
  const { server, channel } = await subscribedChannel();
  const strict = messages(channel, undefined, { buffer: 2 });
  const loose = messages(channel, undefined, { buffer: 2, overflow: "drop-oldest" });
  for (const n of [1, 2, 3, 4]) send(server.peer, n, n);
  assert.deepEqual([(await strict.next()).value.data, (await strict.next()).value.data], [1, 2]);
  await assert.rejects(strict.next(), coded("RT_001"));
  assert.equal((await strict.next()).done, true);
  assert.deepEqual([(await loose.next()).value.data, (await loose.next()).value.data, loose.dropped], [3, 4, 2]);
});

test("the error that ends a channel is thrown by its iterators, after the messages before it", async () => {
  const { server, channel } = await subscribedChannel();
  const found = messages(channel);
  send(server.peer, 1, 1);
  server.peer.send({ type: "error", code: "RT_003", message: "removed", channel: "room" });
  assert.equal((await found.next()).value.data, 1);
  await assert.rejects(found.next(), coded("RT_003"));
  assert.deepEqual(server.events.slice(-1), ["connected"]); // it has reached the application
  const other = server.realtime.channel("secret");
  const never = messages(other);
  const refused = other.subscribe();
  server.peer.send({ type: "error", code: "RT_003", message: "no", channel: "secret" });
  await assert.rejects(refused, coded("RT_003"));
  await assert.rejects(never.next(), coded("RT_003"));
});

test("messages of a channel that is not subscribed to are an error at the first of them, with what to do", async () => {
  const server = new FakeServer();
  const channel = server.realtime.channel("room");
  const early = messages(channel);
  const never = messages(channel, "n");
  await assert.rejects(never.next(), {
    name: "RealtimeError",
    code: "RT_004",
    message: "subscribe to the channel first",
    channel: "room",
  });
  assert.equal((await never.next()).done, true);
  const subscribed = channel.subscribe();
  const soon = messages(channel).next(); // while it is under way
  server.peer.hello().subscribed("room");
  await subscribed;
  send(server.peer, 1, 1);
  assert.deepEqual([(await early.next()).value.data, (await soon).value.data], [1, 1]);
  void channel.unsubscribe();
  assert.equal((await early.next()).done, true);
  await assert.rejects(messages(channel).next(), coded("RT_004"));
  const left = messages(channel);
  await left.return!();
  assert.equal((await left.next()).done, true);
});

test("what ends a channel while a message is decrypted is the end of its iterators, after that message", async () => {
  const { server, channel } = await subscribedChannel();
  let opened!: (data: unknown) => void;
  const sealer = { _open: () => new Promise((resolve) => (opened = resolve)) };
  server.realtime.channel("room", { encryption: { _sealer: () => sealer } as unknown as Encryption });
  const found = messages(channel);
  send(server.peer, 1, "sealed");
  server.peer.send({ type: "error", code: "RT_003", message: "removed", channel: "room" });
  const first = found.next();
  await flush();
  opened(1);
  assert.equal((await first).value.data, 1);
  await assert.rejects(found.next(), coded("RT_003"));
});
