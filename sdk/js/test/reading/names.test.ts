// Names that mean something to JavaScript's objects are names like others: they come through as data, and change nothing else.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { messages } from "../../src/client/iterators.js";
import { PresenceState } from "../../src/core/presence.js";
import { apply, difference, Doc } from "../../src/core/snapshot.js";
import { pack, unpack } from "../../src/protocol/msgpack.js";
import type { User } from "../../src/protocol/types.js";
import { FakeServer, flush, type Wire } from "../fake_server.js";
import { followQuery, reconnect, sendSnapshot, subscribedChannel } from "../helpers.js";

const NAMES = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__defineGetter__", "then"];
/** As the wire brings it: each name is a field of its own, down to the second level. */
const hostile = (mark: string): Record<string, unknown> =>
  JSON.parse(
    `{${NAMES.map((name) => `"${name}": {"polluted": "${mark}", "__proto__": {"polluted": "${mark}"}}`).join()}}`,
  );
const text = (value: unknown): string => JSON.stringify(value);

afterEach(() => {
  for (const each of [{}, [], Object, Function, () => {}, Object.prototype, Array.prototype])
    assert.equal((each as { polluted?: unknown }).polluted, undefined);
});

/** That it has these names as fields of its own, and is a plain object otherwise. */
function sameData(found: unknown, mark: string): void {
  assert.equal(text(found), text(hostile(mark)));
  assert.equal(Object.getPrototypeOf(found), Object.prototype);
}

test("as fields and ids of documents, in whole documents, deltas, differences and over a reconnect", async () => {
  const server = new FakeServer();
  const { snapshots } = followQuery(server);
  server.peer.hello().subscribed("db:collection:c");
  const docs = (mark: string): object[] =>
    NAMES.map((id, newIndex) => ({ type: "added", oldIndex: -1, newIndex, doc: { id, data: hostile(mark) } }));
  sendSnapshot(server.peer, "0/10", true, docs("one"));
  const changed = hostile("two");
  sendSnapshot(server.peer, "0/20", false, [
    { type: "modified", oldIndex: 0, newIndex: 0, doc: { id: "__proto__", changed } },
  ]);
  const [first, second] = snapshots;
  assert.deepEqual(
    first!.docs.map(({ id }) => id),
    NAMES,
  );
  for (const doc of first!.docs) sameData(doc.data(), "one");
  sameData(second!.doc!.data(), "two");
  const peer = await reconnect(server);
  peer.subscribed("db:collection:c", { recovered: false });
  sendSnapshot(peer, "0/30", true, docs("one").slice(0, 2));
  const last = snapshots.at(-1)!;
  assert.deepEqual(
    last.changes.map(({ type, doc: { id } }) => `${type} ${id}`),
    [...NAMES.slice(2).map((id) => `removed ${id}`).reverse(), "modified __proto__"], // prettier-ignore
  );
  const [again] = apply([], docs("one") as never);
  assert.deepEqual(difference(again, [...first!.docs]), []);
  const other = [new Doc("__proto__", { ...hostile("one"), ["__proto__"]: 1 })];
  assert.equal(difference(again.slice(0, 1), other).length, 1);
});

test("as fields of a query, its order and its cursors", () => {
  const server = new FakeServer();
  server.peer.hello();
  let query = server.realtime.database().collection("__proto__").where("constructor", "==", hostile("x"));
  for (const name of NAMES) query = query.orderBy(name);
  query.startAfter(new Doc("__proto__", hostile("y"))).onSnapshot(() => {});
  const { channel, query: spec } = server.peer.of("subscribe")[0]!;
  assert.equal(channel, "db:collection:__proto__");
  assert.equal(
    text((spec as Wire).startAfter),
    text({ doc: "__proto__", values: NAMES.map((name) => hostile("y")[name]) }),
  );
  assert.equal(text((spec as Wire).where), text([["constructor", "==", hostile("x")]]));
});

test("as events, data, senders and ids of messages", async () => {
  const { server, channel } = await subscribedChannel();
  const seen: string[] = [];
  for (const event of NAMES) channel.on(event, ({ data }) => (sameData(data, event), seen.push(event)));
  const iterated = messages(channel, "__proto__");
  NAMES.forEach(
    (event, n) =>
    server.peer.send({
      type: "message", channel: "room", event, data: hostile(event), id: event, sender: event, position: `0/1/${n + 1}`,
    }), // prettier-ignore
  );
  assert.deepEqual(seen, NAMES);
  assert.equal((await iterated.next()).value.sender, "__proto__");
  void channel.send("__proto__", hostile("sent"));
  await flush();
  assert.equal(text(server.peer.of("message")[0]!.data), text(hostile("sent")));
  for (const name of NAMES) assert.equal(server.realtime.channel(name).name, name);
});

test("as users and fields of presence, those of others and one's own, also when it is sent again", async () => {
  const user = (id: string): User => ({ id, metadata: hostile(id), state: hostile(id) });
  const state = new PresenceState();
  const joined = state._replace(NAMES.map(user)).map(([event, { id }]) => `${event} ${id}`);
  assert.deepEqual(
    joined,
    NAMES.map((id) => `presence:join ${id}`),
  );
  assert.deepEqual(state._replace(NAMES.map(user)), []);
  const left = state._apply({ type: "presence:leave", channel: "c", user: user("__proto__") });
  assert.equal(left.length, 1);
  assert.equal(state._current().count, NAMES.length - 1);

  const { server, channel } = await subscribedChannel({ presence: hostile("begin") });
  assert.equal(text(server.peer.of("subscribe")[0]!.presence), text(hostile("begin")));
  void channel.updatePresence(hostile("own"));
  await flush();
  assert.equal(text(server.peer.of("presence:update")[0]!.data), text(hostile("own")));
  const [update] = (await reconnect(server)).of("presence:update"); // it was not acknowledged
  assert.equal(text(update!.data), text(hostile("own")));
  server.peer.send({ type: "ack", ref: update!.ref });
  await flush();
  assert.equal(text((await reconnect(server)).of("subscribe")[0]!.presence), text(hostile("own")));
});

test("in MessagePack", () => {
  sameData(unpack(pack(hostile("packed")).buffer), "packed");
});
