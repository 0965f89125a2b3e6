// A collection over a live query, whose server is in memory.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createCollection, createLiveQueryCollection, eq, type Collection } from "@tanstack/db";
import { bunbaseCollectionOptions, type BunbaseCollectionConfig } from "../src/index.js";
import { FakeServer, flush, type Peer } from "../../js/test/fake_server.js";
import { reconnect, sendSnapshot } from "../../js/test/helpers.js";

interface Todo {
  id: number;
  title: string;
  done: boolean;
}

const todo = (id: number, title: string, done = false): Todo => ({ id, title, done });
const change = (type: string, data: Todo, oldIndex: number, newIndex: number): object => ({
  type,
  oldIndex,
  newIndex,
  doc: { id: `${data.id}`, data },
});
const added = (...todos: Todo[]): object[] => todos.map((each, index) => change("added", each, -1, index));

/** A collection that has been answered with these rows, or with nothing yet. */
async function following(
  rows: Todo[] | undefined,
  more: Partial<BunbaseCollectionConfig<Todo, number>> = {},
): Promise<{ server: FakeServer; peer: Peer; todos: Collection<Todo, number, any>; shown: () => string }> {
  const server = new FakeServer();
  const todos = createCollection(
    bunbaseCollectionOptions<Todo, number>({
      id: "todos",
      client: server.realtime,
      query: (db) => db.collection("c").where("list", "==", "home"),
      getKey: ({ id }) => id,
      startSync: true,
      ...more,
    }),
  );
  const peer = server.peer.hello();
  if (rows) answer(peer, rows);
  await flush();
  const shown = (): string =>
    todos.toArray
      .sort((a, b) => a.id - b.id)
      .map(({ id, title, done }) => `${id}${title}${done ? "+" : ""}`)
      .join(" ");
  return { server, peer, todos, shown };
}

function answer(peer: Peer, rows: Todo[], position = "0/10"): void {
  peer.subscribed("db:collection:c");
  sendSnapshot(peer, position, true, added(...rows));
}

/** The server's answer to the last `whenSeen`. */
const seen = (peer: Peer): void => peer.send({ type: "seen", position: "0/20", ref: peer.of("seen").at(-1)!.ref });

test("the rows are those of the query, and each commit is one change of the collection", async () => {
  const { peer, todos, shown } = await following([todo(1, "a"), todo(2, "b")]);
  assert.deepEqual([todos.status, shown()], ["ready", "1a 2b"]);
  assert.deepEqual(peer.of("subscribe")[0]!.query, { where: [["list", "==", "home"]] });
  const batches: string[][] = [];
  todos.subscribeChanges((changes) => batches.push(changes.map(({ type, key }) => `${type} ${key}`)), {
    includeInitialState: true,
  });
  batches.splice(0);
  sendSnapshot(peer, "0/20", false, [
    change("removed", todo(1, "a"), 0, -1),
    change("modified", todo(2, "B", true), 0, 0),
    change("added", todo(3, "c"), -1, 0),
  ]);
  await flush();
  assert.equal(shown(), "2B+ 3c");
  assert.deepEqual(
    batches.map((batch) => batch.sort()),
    [["delete 1", "insert 3", "update 2"]],
  );
});

test("queries of TanStack DB are kept up to date over it", async () => {
  const { peer, todos } = await following([todo(1, "a"), todo(2, "b", true)]);
  const open = createLiveQueryCollection((from) =>
    from.from({ each: todos }).where(({ each }) => eq(each.done as never, false as never)),
  );
  await open.preload();
  const titles = (): unknown[] => open.toArray.map((each: any) => each.title).sort();
  assert.deepEqual(titles(), ["a"]);
  sendSnapshot(peer, "0/20", false, [change("modified", todo(2, "b"), 1, 1)]);
  await flush();
  assert.deepEqual(titles(), ["a", "b"]);
});

test("what is inserted in advance goes when the feed has passed the write, and there is no moment without the row", async () => {
  let written!: (position: string) => void;
  const { peer, todos, shown } = await following([], {
    onInsert: () => new Promise<string>((resolve) => (written = resolve)),
  });
  const history: string[] = [];
  todos.subscribeChanges(() => history.push(shown()));
  const { isPersisted } = todos.insert(todo(1, "mine"));
  let persisted = false;
  void isPersisted.promise.then(() => (persisted = true));
  assert.equal(shown(), "1mine");
  await flush();
  written("xid:7");
  await flush();
  // The answer of the API is there, and the change is not.
  assert.deepEqual([persisted, shown(), peer.of("seen").at(-1)!.position], [false, "1mine", "xid:7"]);
  sendSnapshot(peer, "0/20", false, added(todo(1, "theirs")));
  await flush();
  assert.equal(persisted, false);
  seen(peer);
  await flush();
  assert.deepEqual([persisted, shown()], [true, "1theirs"]);
  assert.ok(
    history.every((each) => /^1(mine|theirs)$/.test(each)),
    history.join(),
  );
});

test("updates and deletes wait for all their positions", async () => {
  const { peer, todos, shown } = await following([todo(1, "a"), todo(2, "b")], {
    onUpdate: ({ transaction }) => Promise.resolve(transaction.mutations.map(({ key }) => `xid:${key}`)),
    onDelete: async ({ collection }) => collection.utils.whenSeen("xid:9"),
  });
  const update = todos.update([1, 2], (drafts: Todo[]) => drafts.forEach((draft) => (draft.done = true)));
  await flush();
  const asked = peer.of("seen");
  assert.deepEqual([shown(), asked.map(({ position }) => position)], ["1a+ 2b+", ["xid:1", "xid:2"]]);
  sendSnapshot(peer, "0/20", false, [
    change("modified", todo(1, "a", true), 0, 0),
    change("modified", todo(2, "b", true), 1, 1),
  ]);
  for (const { ref } of asked) peer.send({ type: "seen", position: "0/20", ref });
  await update.isPersisted.promise;
  const removal = todos.delete(1);
  await flush();
  assert.deepEqual([shown(), peer.of("seen").at(-1)!.position], ["2b+", "xid:9"]);
  sendSnapshot(peer, "0/30", false, [change("removed", todo(1, "a", true), 0, -1)]);
  seen(peer);
  await removal.isPersisted.promise;
  assert.equal(shown(), "2b+");
});

test("what is written before the rows have come stays beside them", async () => {
  const { peer, todos, shown } = await following(undefined, { onInsert: () => Promise.resolve("xid:7") });
  const { isPersisted } = todos.insert(todo(2, "mine"));
  await flush();
  answer(peer, [todo(1, "a"), todo(3, "c")]);
  await flush();
  assert.equal(shown(), "1a 2mine 3c");
  sendSnapshot(peer, "0/20", false, [change("added", todo(2, "mine"), -1, 1)]);
  seen(peer);
  await isPersisted.promise;
  assert.deepEqual([shown(), todos.status], ["1a 2mine 3c", "ready"]);
});

test("a write that is refused or rolled back is taken back", async () => {
  let outcome: () => Promise<string> = () => Promise.reject(new Error("not yours"));
  const { peer, todos, shown } = await following([todo(1, "a")], { onInsert: () => outcome() });
  const refused = todos.insert(todo(2, "b"));
  assert.equal(shown(), "1a 2b");
  await assert.rejects(refused.isPersisted.promise, /not yours/);
  assert.equal(shown(), "1a");
  outcome = () => Promise.resolve("xid:8");
  const rolledBack = todos.insert(todo(3, "c"));
  await flush();
  peer.send({ type: "error", code: "RT_004", message: "rolled back", ref: peer.of("seen").at(-1)!.ref });
  await assert.rejects(rolledBack.isPersisted.promise, /rolled back/);
  assert.equal(shown(), "1a");
});

test("a write that is not seen in time is taken back", async () => {
  const { server, todos, shown } = await following([], { onInsert: () => Promise.resolve("xid:8"), timeout: 500 });
  const { isPersisted } = todos.insert(todo(2, "b"));
  isPersisted.promise.catch(() => {});
  await flush();
  await server.clock.pass(499);
  assert.equal(shown(), "2b");
  await server.clock.pass(1);
  await assert.rejects(isPersisted.promise, /not seen within 500 ms/);
  assert.equal(shown(), "");
});

test("a query that is refused is an error of the collection, also for what waits for it", async () => {
  const errors: string[] = [];
  const { peer, todos } = await following(undefined, { onError: ({ code }) => errors.push(code) });
  const loaded = todos.preload();
  const { id } = peer.of("subscribe").at(-1)!;
  peer.send({ type: "error", code: "RT_004", message: "no such collection", channel: "db:collection:c", id });
  await assert.rejects(loaded, /no such collection/);
  assert.deepEqual([todos.status, errors], ["error", ["RT_004"]]);
});

test("a query that ends later is logged, and its rows stay", async (context) => {
  const logged = context.mock.method(console, "error", () => {});
  const { peer, todos, shown } = await following([todo(1, "a")]);
  const { id } = peer.of("subscribe").at(-1)!;
  peer.send({ type: "error", code: "RT_003", message: "no longer", channel: "db:collection:c", id });
  assert.deepEqual([todos.status, shown(), logged.mock.callCount()], ["ready", "1a", 1]);
});

test("after a reconnect the collection has what has changed meanwhile", async () => {
  const { server, todos, shown } = await following([todo(1, "a"), todo(2, "b")]);
  const changes: string[] = [];
  todos.subscribeChanges((batch) => changes.push(...batch.map(({ type, key }) => `${type} ${key}`)), {
    includeInitialState: true,
  });
  changes.splice(0);
  answer(await reconnect(server), [todo(2, "b"), todo(3, "c")], "0/40");
  await server.clock.pass(1000);
  assert.deepEqual([shown(), changes.sort()], ["2b 3c", ["delete 1", "insert 3"]]);
});

test("a collection that is not used leaves its query, and follows it again", async () => {
  const { server, peer, todos, shown } = await following([todo(1, "a")]);
  await todos.cleanup();
  assert.deepEqual([todos.status, peer.of("unsubscribe").length], ["cleaned-up", 1]);
  const loaded = todos.preload();
  answer(server.peer, [todo(2, "b")], "0/20");
  await loaded;
  assert.equal(shown(), "2b");
});
