// Live queries over one transport, against a real server: what is shown is always what the query returns.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { count, get, snapshots } from "../../../../sdk/js/dist/index.js";
import { client, closeAll, control, eventually, sql, sqlSeen } from "./support.mjs";

beforeEach(() => sqlSeen("truncate messages restart identity"));
afterEach(closeAll);

const insert = (bodies) =>
  `insert into messages (room_id, body) values ${bodies.map((body) => `('general', '${body}')`).join(",")}`;
const write = (...bodies) => sql(insert(bodies));
const writeSeen = (...bodies) => sqlSeen(insert(bodies));

/** Follow a query; the list that its changes build must be the list it shows, every time. */
function follow(query) {
  const seen = { snapshots: [], shown: undefined, list: [], errors: [] };
  seen.subscription = query.onSnapshot(
    (snapshot) => {
      for (const { type, doc, oldIndex, newIndex } of snapshot.changes) {
        if (oldIndex >= 0) assert.equal(seen.list.splice(oldIndex, 1)[0].id, doc.id);
        if (newIndex >= 0) seen.list.splice(newIndex, 0, doc);
        assert.equal(type, oldIndex < 0 ? "added" : newIndex < 0 ? "removed" : "modified");
      }
      assert.deepEqual(seen.list, snapshot.docs);
      seen.snapshots.push(snapshot);
      seen.shown = snapshot.docs.map((doc) => doc.data().body);
    },
    (error) => seen.errors.push(error),
  );
  return seen;
}

const messages = (realtime) => realtime.database().collection("messages").where("roomId", "==", "general");

test("rows come first, then each change of the list", async () => {
  await write("a", "b", "c");
  const seen = follow(messages(client()).orderBy("createdAt", "desc").limit(2));
  await eventually(() => assert.deepEqual(seen.shown, ["c", "b"]));
  assert.ok(seen.snapshots[0].changes.every(({ type, oldIndex }) => type === "added" && oldIndex === -1));
  assert.match(seen.snapshots[0].position, /^[0-9A-F]+\/[0-9A-F]+$/);
  await sql("update messages set body = 'B' where body = 'b'");
  await eventually(() => assert.deepEqual(seen.shown, ["c", "B"]));
  assert.deepEqual(
    seen.snapshots.at(-1).changes.map(({ type, doc }) => [type, doc.id]),
    [["modified", "2"]],
  );
  await sql("delete from messages where body = 'c'");
  await eventually(() => assert.deepEqual(seen.shown, ["B", "a"]));
  seen.subscription.unsubscribe();
  const last = follow(messages(client()));
  await write("d");
  await eventually(() => assert.deepEqual(last.shown, ["a", "B", "d"]));
  assert.deepEqual(seen.shown, ["B", "a"]);
});

test("one document, a count, and a document as a cursor", async () => {
  await writeSeen("a", "b", "c", "d");
  const all = client().database().collection("messages");
  const seen = [];
  const one = all.doc(2).onSnapshot(({ doc }) => seen.push(doc?.data().body));
  await eventually(() => assert.deepEqual(seen, ["b"]));
  await sql("delete from messages where id = 2");
  await eventually(() => assert.deepEqual(seen, ["b", undefined]));
  await sql("insert into messages (id, room_id, body) overriding system value values (2, 'general', 'B')");
  await eventually(() => assert.deepEqual(seen, ["b", undefined, "B"]));
  one.unsubscribe();
  await assert.rejects(all.doc("x").get(), { code: "RT_007" });

  const query = all.orderBy("roomId").orderBy("body", "desc");
  const { docs } = await query.get();
  assert.deepEqual((await query.startAfter(docs[1]).get()).docs, docs.slice(2));
  assert.deepEqual((await query.startAt(docs[1]).endBefore(docs[3]).get()).docs, docs.slice(1, 3));
  assert.equal(await query.startAfter(docs[1]).count(), 2);
  await assert.rejects(count(all.where("nope", "==", 1)), { code: "RT_007" });

  const numbers = [];
  for await (const { doc } of snapshots(all.where("roomId", "==", "general").liveCount())) {
    numbers.push(doc.data().count);
    if (numbers.length === 1) await write("e");
    else break;
  }
  assert.deepEqual(numbers, [4, 5]);
});

test("documents of selected fields, live, as a cursor, page by page and counted", async () => {
  await write("a", "b", "c");
  const all = client().database().collection("messages");
  const bodies = all.where("roomId", "==", "general").select("body").orderBy("body");
  const seen = [];
  const live = bodies.onSnapshot(({ docs }) => seen.push(docs.map((doc) => doc.data())));
  await eventually(() => assert.deepEqual(seen, [["a", "b", "c"].map((body, index) => ({ id: index + 1, body }))]));
  await sql("update messages set created_at = now() where body = 'a'"); // which is not selected
  await sql("update messages set body = 'A' where body = 'a'");
  await eventually(() =>
    assert.deepEqual(
      seen.slice(1).map((docs) => docs.map(({ body }) => body)),
      [["A", "b", "c"]],
    ),
  );
  live.unsubscribe();

  const { docs } = await bodies.get();
  assert.deepEqual((await bodies.startAfter(docs[0]).get()).docs, docs.slice(1));
  assert.throws(() => all.select("body").orderBy("createdAt").startAfter(docs[0]), { code: "RT_007" });
  assert.equal(await bodies.count(), 3);
  const followed = bodies.pages(2);
  await eventually(() => assert.deepEqual([followed.docs, followed.hasMore], [docs.slice(0, 2), true]));
  followed.loadMore();
  await eventually(() => assert.deepEqual([followed.docs, followed.hasMore], [docs, false]));
  followed.unsubscribe();
  await assert.rejects(all.select("bodi").get(), { code: "RT_007" });
});

test("an empty result is a snapshot, too", async () => {
  const seen = follow(messages(client()));
  await eventually(() => assert.deepEqual(seen.shown, []));
});

test("cursors, groups of conditions and SQL", async () => {
  await write("a", "b", "c", "d", "e");
  const base = client().database().collection("messages").orderBy("body");
  const between = follow(base.startAfter("a").endAt("d"));
  const within = follow(base.startAt("b").endBefore("d"));
  const either = follow(
    base
      .where({
        or: [
          ["body", "==", "a"],
          ["body", "in", ["e"]],
        ],
      })
      .where("body", "is-not-null"),
  );
  const counted = [];
  client()
    .database()
    .collection("messages")
    .sql("select room_id, count(*) as messages from messages where body > $1 group by room_id", ["b"])
    .onSnapshot(({ docs }) => counted.push(docs.map((doc) => doc.data())));
  await eventually(() => {
    assert.deepEqual(between.shown, ["b", "c", "d"]);
    assert.deepEqual(within.shown, ["b", "c"]);
    assert.deepEqual(either.shown, ["a", "e"]);
    assert.deepEqual(counted.at(-1), [{ room_id: "general", messages: 3 }]);
  });
});

test("a query that is rejected gives its caller the error", async () => {
  const seen = follow(client().database().collection("messages").where("nothing", "==", 1));
  await eventually(() =>
    assert.deepEqual(
      seen.errors.map(({ code, channel }) => [code, channel]),
      [["RT_007", "db:collection:messages"]],
    ),
  );
  const realtime = client();
  const errors = [];
  realtime.on("error", (error) => errors.push(error.code));
  realtime
    .database()
    .collection("nothing")
    .onSnapshot(() => assert.fail("there is none"));
  await eventually(() => assert.deepEqual(errors, ["RT_004"]));
});

test("after a restart of the server only real changes are delivered", async () => {
  await write("a", "b", "c", "d");
  const seen = follow(messages(client()).orderBy("body"));
  const quiet = follow(messages(client()).where("body", "==", "d"));
  await eventually(() => assert.deepEqual([seen.shown, quiet.shown], [["a", "b", "c", "d"], ["d"]]));
  const silent = quiet.snapshots.length;
  const before = seen.snapshots.length;
  await control("kill");
  await sql("delete from messages where body = 'b'");
  await sql("update messages set body = 'a2' where body = 'a'");
  await write("c2");
  await control("start");
  await eventually(() => assert.deepEqual(seen.shown, ["a2", "c", "c2", "d"]));
  assert.equal(seen.snapshots.length, before + 1);
  assert.deepEqual(
    seen.snapshots
      .at(-1)
      .changes.map(({ type, doc }) => `${type} ${doc.data().body}`)
      .sort(),
    ["added c2", "modified a2", "removed b"],
  );
  await write("d");
  await eventually(() => assert.deepEqual(quiet.shown, ["d", "d"]));
  assert.equal(quiet.snapshots.length, silent + 1);
});

test("a short interruption costs nothing but the difference", async () => {
  await write("a", "b");
  const realtime = client();
  const seen = follow(messages(realtime).orderBy("body"));
  const other = follow(messages(client()).orderBy("body"));
  await eventually(() =>
    assert.deepEqual(
      [seen.shown, other.shown],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    ),
  );
  const before = seen.snapshots.length;
  realtime.disconnect();
  await write("c");
  await eventually(() => assert.deepEqual(other.shown, ["a", "b", "c"]));
  realtime.connect();
  await eventually(() => assert.deepEqual(seen.shown, ["a", "b", "c"]));
  assert.equal(seen.snapshots.length, before + 1);
});

test("pages go on after a document whose number is beyond 2^53: by its id, and by strings of digits", async () => {
  await sql(`create table scores (id bigint primary key, score bigint not null, body text not null);
    insert into scores select 9007199254740992 + n, 9007199254740992 + n, 'n' || n from generate_series(1, 5) n;
    select realtime.expose('scores')`);
  const scores = client().database().collection("scores");
  const bodies = async (query) => (await get(query)).docs.map((doc) => doc.data().body);
  const [third] = (await get(scores.doc("9007199254740995"))).docs;
  assert.notEqual(String(third.data().id), third.id); // a double has not its digits
  assert.deepEqual(await bodies(scores.orderBy("id").startAfter(third)), ["n4", "n5"]);
  assert.deepEqual(await bodies(scores.orderBy("id", "desc").startAfter(third)), ["n2", "n1"]);
  assert.deepEqual(await bodies(scores.orderBy("score").startAfter("9007199254740995", third.id)), ["n4", "n5"]);
  await sql("select realtime.unexpose('scores'); drop table scores");
});

test("a bigint and a string of digits are compared with all their digits", async () => {
  await write("a");
  await sql(
    "insert into messages (id, room_id, body) overriding system value values (9007199254740993, 'general', 'b')",
  );
  const realtime = client();
  const found = [9007199254740993n, "9007199254740993", "9007199254740993.0"].map((id) =>
    follow(messages(realtime).where("id", "==", id)),
  );
  const below = follow(messages(realtime).where("id", "<", 9007199254740993n));
  const all = follow(messages(realtime).where("id", "<", 99999999999999999999999999n));
  await eventually(() => {
    for (const seen of found) assert.deepEqual(seen.shown, ["b"]);
    assert.deepEqual(below.shown, ["a"]);
    assert.deepEqual(all.shown, ["a", "b"]);
  });
});
