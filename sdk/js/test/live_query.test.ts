// Live queries: what is asked for, and lists that go on after a reconnect.

import assert from "node:assert/strict";
import { test } from "node:test";

import type { PagesSnapshot } from "../src/client/pages.js";
import { flush, type Peer, type Wire, FakeServer } from "./fake_server.js";
import { added, reconnect, followQuery, sendSnapshot } from "./helpers.js";

test("a live query resumes from its last snapshot and emits nothing if nothing has changed", async () => {
  const server = new FakeServer();
  const { shown, snapshots } = followQuery(server);
  server.peer.hello().subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, added("a", "b"));
  const peer = await reconnect(server);
  const { since, epoch, query } = peer.of("subscribe")[0]!;
  assert.deepEqual([since, epoch, query], ["0/10", "e", {}]);
  peer.subscribed("db:collection:c", { recovered: true, position: "0/30" });
  assert.deepEqual(shown, ["ab"]);
  sendSnapshot(peer, "0/40", false, [
    { type: "removed", oldIndex: 0, newIndex: -1, doc: { id: "a", data: { id: "a" } } },
  ]);
  assert.deepEqual([shown, snapshots[1]!.changes.length], [["ab", "b"], 1]);
  const third = await reconnect(server);
  third.subscribed("db:collection:c", { recovered: false });
  sendSnapshot(third, "0/50", true, added("b"));
  assert.deepEqual(shown, ["ab", "b"]);
  sendSnapshot(third, "0/60", true, added("c", "b"));
  assert.deepEqual(
    [shown.at(-1), snapshots[2]!.changes.map(({ type, doc }) => `${type} ${doc.id}`)],
    ["cb", ["added c"]],
  );
});

test("a live query resumes in the epoch of its last snapshot, not in that of an answer without one", async () => {
  const server = new FakeServer();
  const { shown } = followQuery(server);
  server.peer.hello().subscribed("db:collection:c");
  sendSnapshot(server.peer, "0/10", true, added("a", "b"));
  const other = { recovered: false, epoch: "other" };
  (await reconnect(server)).subscribed("db:collection:c", other); // and the connection breaks before the list comes
  const third = await reconnect(server);
  const resumed = (peer: Peer): unknown[] => peer.of("subscribe").map(({ since, epoch }) => [since, epoch]);
  assert.deepEqual(resumed(third), [["0/10", "e"]]);
  third.subscribed("db:collection:c", other);
  sendSnapshot(third, "0/40", true, added("c"));
  assert.deepEqual(shown, ["ab", "c"]);
  assert.deepEqual(resumed(await reconnect(server)), [["0/40", "other"]]);
});

test("a snapshot carries the annotation of its transaction if it was asked for and the changes are of that alone", async () => {
  const server = new FakeServer();
  const { snapshots } = followQuery(server, { meta: true });
  server.peer.hello().subscribed("db:collection:c");
  assert.equal(server.peer.of("subscribe")[0]!.meta, true);
  sendSnapshot(server.peer, "0/10", true, added("a"));
  const change = [{ type: "added", oldIndex: -1, newIndex: 1, doc: { id: "b", data: { id: "b" } } }];
  sendSnapshot(server.peer, "0/20", false, change, { meta: { user: "ada" } });
  const peer = await reconnect(server);
  assert.equal(peer.of("subscribe")[0]!.meta, true);
  peer.subscribed("db:collection:c", { recovered: false });
  sendSnapshot(peer, "0/30", true, added("a"));
  assert.deepEqual(
    snapshots.map(({ meta, docs }) => [meta, docs.length]),
    [[undefined, 1], [{ user: "ada" }, 2], [undefined, 1]],
  ); // prettier-ignore
  const other = new FakeServer();
  followQuery(other);
  assert.equal("meta" in other.peer.hello().of("subscribe")[0]!, false);
});

test("a snapshot has the strategy that the server reported, and its reason", () => {
  const server = new FakeServer();
  const { snapshots } = followQuery(server);
  server.peer.hello().subscribed("db:collection:c", { strategy: "re-read", reason: "it has a join" });
  sendSnapshot(server.peer, "0/10", true, added("a"));
  assert.deepEqual([snapshots[0]!.strategy, snapshots[0]!.reason], ["re-read", "it has a join"]);
  sendSnapshot(server.peer, "0/20", false, [{ type: "removed", oldIndex: 0, newIndex: -1, doc: { id: "a" } }]);
  assert.equal(snapshots[1]!.reason, "it has a join");
});

test("a query is written as the protocol has it", () => {
  const server = new FakeServer();
  const collection = server.realtime.database().collection<{ roomId: string; at: number }>("c");
  const specs = [
    collection.where("roomId", "==", "r").where({ not: ["at", "is-null"] }).where("at", "is-not-null").orderBy("at", "desc").orderBy("roomId", "asc", "nulls-last").limit(5).startAfter(1, "x"),
    collection.startAt(1).endAt(2), collection.endBefore(3), collection,
    collection.sql<{ n: number }>("select count(*) as n from c where at > $1", [1]),
  ]; // prettier-ignore
  assert.deepEqual(specs.map(({ _spec }) => _spec), [
    {
      where: [["roomId", "==", "r"], { not: ["at", "is-null"] }, ["at", "is-not-null"]],
      orderBy: [["at", "desc"], ["roomId", "asc", "nulls-last"]], limit: 5, startAfter: [1, "x"],
    },
    { startAt: [1], endAt: [2] }, { endBefore: [3] }, {},
    { sql: "select count(*) as n from c where at > $1", params: [1] },
  ]); // prettier-ignore
});

test("a refused query without any listener is logged", (context) => {
  const { mock } = context.mock.method(console, "error", () => {});
  const server = new FakeServer();
  const refuse = (): void => {
    const { id } = server.peer.of("subscribe").at(-1)!;
    const [code, message] = ["RT_004", "no collection is named 'c'"];
    server.peer.send({ type: "error", code, message, channel: "db:collection:c", id });
  };
  followQuery(server);
  server.peer.hello();
  refuse();
  assert.deepEqual([server.events.at(-1), mock.callCount()], ["error RT_004", 0]);
  server.realtime.off("error");
  followQuery(server);
  refuse();
  assert.deepEqual(mock.calls[0]!.arguments, ["[bunbase] RT_004 db:collection:c: no collection is named 'c'"]);
});

test("get gives the first list and leaves no subscription, also where it is refused or takes too long", async () => {
  const server = new FakeServer();
  const query = server.realtime.database().collection("c");
  const got = query.get();
  const peer = server.peer.hello();
  assert.equal(peer.of("subscribe")[0]!.fresh, true);
  peer.subscribed("db:collection:c");
  sendSnapshot(peer, "0/10", true, added("a", "b"));
  assert.deepEqual(
    (await got).docs.map(({ id }) => id),
    ["a", "b"],
  );
  assert.equal(peer.of("unsubscribe").length, 1);
  const refused = query.get();
  const { id } = peer.of("subscribe")[1]!;
  peer.send({ type: "error", code: "RT_007", message: "no", channel: "db:collection:c", id });
  await assert.rejects(refused, { code: "RT_007" });
  const late = query.get(500);
  void server.clock.pass(500);
  await assert.rejects(late, { code: "RT_001", message: "no result within 500 ms" });
  assert.equal(peer.of("unsubscribe").length, 2);
});

test("pages show all that is loaded, and a longer list takes over only when it is there", async () => {
  const server = new FakeServer();
  const snapshots: PagesSnapshot[] = [];
  const errors: string[] = [];
  const shown = (): [string, boolean] => {
    const { docs, hasMore } = snapshots.at(-1)!;
    return [docs.map(({ id }) => id).join(""), hasMore];
  };
  const query = server.realtime.database().collection("c").orderBy("id");
  const followed = query.pages(
    2,
    (snapshot) => snapshots.push(snapshot),
    ({ code }) => errors.push(code),
  );
  const peer = server.peer.hello();
  const requests = (): Wire[] => peer.of("subscribe");
  const list = (request: number, position: string, ...ids: string[]): void => {
    const { id } = requests()[request]!;
    peer.send({ type: "subscribed", channel: "db:collection:c", id, position, epoch: "e" });
    peer.send({ type: "snapshot", channel: "db:collection:c", id, position, reset: true, changes: added(...ids) });
  };
  followed.loadMore(); // nothing is there yet
  list(0, "0/10", "b", "c", "d");
  assert.deepEqual(shown(), ["bc", true]);
  followed.loadMore();
  followed.loadMore(); // one at a time
  assert.deepEqual(
    requests().map(({ query }) => query.limit),
    [3, 5],
  );
  const first = requests()[0]!.id;
  const more = [{ type: "added", oldIndex: -1, newIndex: 0, doc: { id: "a", data: { id: "a" } } }];
  peer.send({ type: "snapshot", channel: "db:collection:c", id: first, position: "0/20", reset: false, changes: more });
  assert.deepEqual(shown(), ["ab", true]); // the shorter list lives until then
  list(1, "0/20", "a", "b", "c", "d");
  assert.deepEqual(shown(), ["abcd", false]);
  assert.deepEqual([followed.docs.map(({ id }) => id).join(""), followed.hasMore], shown());
  assert.deepEqual(
    snapshots.at(-1)!.changes.map(({ type, doc }) => `${type} ${doc.id}`),
    ["added c", "added d"],
  );
  await flush();
  assert.deepEqual(
    peer.of("unsubscribe").map(({ id }) => id),
    [first],
  );
  followed.loadMore(); // there is no more
  assert.equal(requests().length, 2);
  followed.unsubscribe();
  assert.equal(peer.of("unsubscribe").length, 2);
  assert.deepEqual(errors, []);
});
