// Parts of a query's result: one document, what lies behind one, and how many there are.

import assert from "node:assert/strict";
import { test } from "node:test";

import { count, get, liveCount } from "../../src/client/pages.js";
import { Doc, type Snapshot } from "../../src/core/snapshot.js";
import { RealtimeError } from "../../src/protocol/errors.js";
import { FakeServer, flush, type Wire } from "../fake_server.js";
import { added, reconnect, sendSnapshot } from "../helpers.js";

const asked = ({ peer }: FakeServer): unknown[] => peer.of("subscribe").map(({ query }: Wire) => query as unknown);
const wholeDoc = (id: string, more: object = {}): object => ({ id, data: { id, ...more } });

test("one document is asked for by its id, or by the values of its key", async () => {
  const server = new FakeServer();
  server.peer.hello();
  const messages = server.realtime.database().collection("messages");
  for (const query of [messages.doc("7"), messages.doc("room", 7), messages.doc(9007199254740993n)])
    query.onSnapshot(() => {});
  await flush();
  const texts = server.peer.of("subscribe").map(({ query }) => JSON.stringify(query));
  assert.deepEqual(texts.slice(0, 2), ['{"doc":["7"]}', '{"doc":["room",7]}']);
  assert.equal(messages.doc(true)._spec.where, undefined);
});

test("a document is followed as it goes and comes back, also over a reconnect", async () => {
  const server = new FakeServer();
  const seen: [string | undefined, ...string[]][] = [];
  const show = ({ doc, changes }: Snapshot<{ body?: string }>): unknown =>
    seen.push([doc && (doc.data().body ?? doc.id), ...changes.map(({ type }) => type)]);
  server.realtime.database().collection("c").doc("a").onSnapshot(show);
  server.peer.hello().subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, added("a"));
  const change = (type: string, doc: object, oldIndex: number, newIndex: number): object[] => [
    { type, doc, oldIndex, newIndex },
  ];
  sendSnapshot(server.peer, "0/20", false, change("modified", wholeDoc("a", { body: "new" }), 0, 0));
  sendSnapshot(server.peer, "0/30", false, change("removed", wholeDoc("a", { body: "new" }), 0, -1));
  sendSnapshot(server.peer, "0/40", false, change("added", wholeDoc("a", { body: "again" }), -1, 0));
  const peer = await reconnect(server);
  assert.deepEqual(asked(server), [{ doc: ["a"] }]);
  peer.subscribed("db:collection:c", { recovered: false });
  sendSnapshot(peer, "0/60", true, []);
  assert.deepEqual(seen, [
    ["a", "added"],
    ["new", "modified"],
    [undefined, "removed"],
    ["again", "added"],
    [undefined, "removed"],
  ]);
});

test("a document that is not there is undefined, and known at once", async () => {
  const server = new FakeServer();
  const missing = server.realtime.database().collection("c").doc("a").get();
  server.peer.hello().subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, []);
  const { doc, docs } = await missing;
  assert.deepEqual([doc, docs], [undefined, []]);
});

test("a document is a place in the order that was given before", () => {
  const server = new FakeServer();
  server.peer.hello();
  const query = server.realtime.database().collection("c").orderBy("at", "desc").orderBy("id");
  const doc = new Doc("7", { id: 7, at: "2026-01-25", body: "x".repeat(200_000) });
  const place = { doc: "7", values: ["2026-01-25", 7] };
  for (const name of ["startAt", "startAfter", "endAt", "endBefore"] as const) {
    assert.deepEqual(query[name](doc)._spec[name], place);
    assert.deepEqual(query[name]("2026-01-25", 7)._spec[name], ["2026-01-25", 7]);
  }
  assert.throws(
    () => query.orderBy("likes").startAfter(doc),
    (error) => error instanceof RealtimeError && error.code === "RT_007" && /no field likes .* 7/.test(error.message),
  );
});

test("a count is asked for and its number returned, once or live", async () => {
  const server = new FakeServer();
  const query = server.realtime.database().collection("c").where("a", "==", 1).limit(5);
  const counted = query.count();
  server.peer.hello().subscribed("db:collection:c", { strategy: "re-read" });
  assert.deepEqual(asked(server), [{ where: [["a", "==", 1]], limit: 5, count: true }]);
  const three = [{ type: "added", oldIndex: -1, newIndex: 0, doc: { id: "0", data: { count: 3 } } }];
  sendSnapshot(server.peer, "0/10", true, three);
  assert.equal(await counted, 3);
  assert.equal(server.peer.of("unsubscribe").length, 1);

  const numbers: number[] = [];
  query.liveCount().onSnapshot(({ doc }) => numbers.push(doc!.data().count));
  await flush();
  server.peer.subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, three);
  const four = { id: "0", data: { count: 4 } };
  sendSnapshot(server.peer, "0/20", false, [{ type: "modified", oldIndex: 0, newIndex: 0, doc: four }]);
  assert.deepEqual(numbers, [3, 4]);

  const refused = query.count();
  await flush();
  const { id } = server.peer.of("subscribe").at(-1)!;
  server.peer.send({ type: "error", code: "RT_007", message: "max_query_cost", channel: "db:collection:c", id });
  await assert.rejects(refused, (error) => error instanceof RealtimeError && error.code === "RT_007");
});

test("get, count and the live count are functions, too", async () => {
  const server = new FakeServer();
  const query = server.realtime.database().collection("c").limit(5);
  const results = [get(query), count(query)] as const;
  liveCount(query).onSnapshot(() => {});
  server.peer.hello();
  assert.deepEqual(asked(server), [{ limit: 5 }, { limit: 5, count: true }, { limit: 5, count: true }]);
  for (const [index, { id }] of server.peer.of("subscribe").entries()) {
    const [channel, position] = ["db:collection:c", "0/10"];
    const doc = { id: "0", data: { count: index } };
    const changes = [{ type: "added", oldIndex: -1, newIndex: 0, doc }];
    server.peer.send({ type: "subscribed", channel, id, position, epoch: "e" });
    server.peer.send({ type: "snapshot", channel, id, position, reset: true, changes });
  }
  const [{ docs }, number] = await Promise.all(results);
  assert.deepEqual([docs.length, number], [1, 1]);
});

interface Todo {
  id: number;
  title: string;
  done: boolean;
  at: string;
}

test("selected fields are asked for, under conditions and an order of any others", async () => {
  const server = new FakeServer();
  const todos = server.realtime.database().collection<Todo>("c");
  const query = todos.where("done", "==", false).select("title").orderBy("at").limit(2);
  const titles: string[][] = [];
  query.onSnapshot(({ docs }) => titles.push(docs.map((doc) => doc.data().title)));
  server.peer.hello().subscribed("db:collection:c");
  const spec = { where: [["done", "==", false]], select: ["title"], orderBy: [["at", "asc"]], limit: 2 };
  assert.deepEqual(asked(server), [spec]);
  const first = { id: "1", data: { id: 1, title: "tea" } };
  sendSnapshot(server.peer, "0/10", true, [{ type: "added", doc: first, oldIndex: -1, newIndex: 0 }]);
  const delta = { id: "1", changed: { title: "milk" } };
  sendSnapshot(server.peer, "0/20", false, [{ type: "modified", doc: delta, oldIndex: 0, newIndex: 0 }]);
  assert.deepEqual(titles, [["tea"], ["milk"]]);
  assert.deepEqual(todos.select("title", "done").select("at")._spec, { select: ["at"] });
  assert.deepEqual(todos.select("title")._spec, { select: ["title"] });
  assert.deepEqual(todos._spec, {});

  const followed = query.pages(2);
  await flush();
  assert.deepEqual(asked(server).at(-1), { ...spec, limit: 3 });
  followed.unsubscribe();
  void query.count(1).catch(() => {});
  await flush();
  assert.equal((asked(server).at(-1) as { count?: boolean }).count, true);
});

test("a document without a field of the order is no place in it", () => {
  const todos = new FakeServer().realtime.database().collection<Todo>("c").orderBy("at").select("title");
  const doc = new Doc("7", { id: 7, title: "tea" });
  for (const name of ["startAt", "startAfter", "endAt", "endBefore"] as const)
    assert.throws(
      () => todos[name](doc),
      (error) =>
        error instanceof RealtimeError &&
        error.code === "RT_007" &&
        error.message.includes("no field at in document 7: select it"),
    );
  assert.deepEqual(todos.select("title", "at").startAfter(new Doc("7", { at: "2026" }))._spec.startAfter, {
    doc: "7",
    values: ["2026"],
  });
});
