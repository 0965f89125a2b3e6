// The stores of the adapters: an error is in their value, and is logged, for a page may show neither.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { channelStore, ownPresence, pagesStore, presenceStore, queryStore } from "../../src/adapters.js";
import { FakeServer, flush } from "../fake_server.js";
import { accept } from "../helpers.js";

/** What is logged as an error during a test. */
function logged(context: TestContext): string[] {
  const lines: string[] = [];
  context.mock.method(console, "error", (line: string) => {
    if (line.startsWith("[bunbase]")) lines.push(line); // Node warns of its mocks by it, too
  });
  return lines;
}

const nothing = (): void => {};

/** The server refuses the last subscription. */
function refuse({ peer }: FakeServer, code: string): void {
  const { id, channel } = peer.of("subscribe").at(-1)!;
  peer.send({ type: "error", code, message: "no", channel, id });
}

test("a live query that is refused is logged, once for all that share it", (context) => {
  const lines = logged(context);
  const server = new FakeServer();
  const store = queryStore(server.realtime, server.realtime.database().collection("c"));
  store.subscribe(nothing);
  store.subscribe(nothing);
  server.peer.hello();
  refuse(server, "RT_004");
  assert.deepEqual([store.get().status, lines], ["error", ["[bunbase] RT_004 db:collection:c: no"]]);
});

test("a channel that is refused, or ended, is logged", async (context) => {
  const lines = logged(context);
  const server = new FakeServer();
  const store = channelStore(server.realtime, "room");
  const leave = store.subscribe(nothing);
  server.peer.hello();
  refuse(server, "RT_003");
  await flush();
  assert.deepEqual([store.get().status, lines], ["error", ["[bunbase] RT_003 room: no"]]);
  leave();
  store.subscribe(nothing);
  const { id } = server.peer.subscribed("room");
  server.peer.send({ type: "error", code: "RT_004", message: "over", channel: "room", id });
  await flush();
  assert.deepEqual([store.get().status, lines.at(-1)], ["error", "[bunbase] RT_004 room: over"]);
});

test("no unsubscribe() of the application ends the use of a store, and the end of the store ends that alone", (context) => {
  const server = new FakeServer();
  const channel = server.realtime.channel("room");
  const leave = channelStore(server.realtime, "room").subscribe(nothing);
  server.peer.hello().subscribed("room");
  void channel.subscribe();
  for (let time = 0; time < 3; time++) void channel.unsubscribe();
  assert.equal(server.peer.of("unsubscribe").length, 0);
  context.mock.timers.enable({ apis: ["setTimeout"] });
  void channel.subscribe();
  leave();
  context.mock.timers.tick(1000);
  assert.equal(server.peer.of("unsubscribe").length, 0);
  void channel.unsubscribe();
  assert.equal(server.peer.of("unsubscribe").length, 1);
});

test("the users of a channel that is subscribed to without presence are an error, until it is with", async (context) => {
  const lines = logged(context);
  const server = new FakeServer();
  const plain = channelStore(server.realtime, "room").subscribe(nothing);
  server.peer.hello().subscribed("room");
  await flush();
  const store = presenceStore(server.realtime, "room");
  store.subscribe(nothing);
  await flush();
  const reason = "subscribe with { presence: true }";
  assert.deepEqual([store.get().users, store.get().error?.message], [[], reason]);
  assert.deepEqual(lines, [`[bunbase] RT_009 room: ${reason}`]);
  context.mock.timers.enable({ apis: ["setTimeout"] });
  plain();
  context.mock.timers.tick(1000);
  context.mock.timers.reset();
  channelStore(server.realtime, "room", { presence: true }).subscribe(nothing);
  const ada = { id: "ada", name: null, metadata: {}, state: {} };
  server.peer.subscribed("room", { presence: { users: [ada], count: 1 } });
  await flush();
  assert.deepEqual([store.get().users.length, store.get().error, lines.slice(1)], [1, undefined, []]);
});

test("users that are looked at before the channel is subscribed to are no error", async (context) => {
  const lines = logged(context);
  const server = new FakeServer();
  const store = presenceStore(server.realtime, "room");
  store.subscribe(nothing);
  channelStore(server.realtime, "room", { presence: true }).subscribe(nothing);
  await flush();
  server.peer.hello().subscribed("room", { presence: { users: [], count: 0 } });
  await flush();
  assert.deepEqual([store.get(), lines], [{ users: [], error: undefined }, []]);
});

test("the own presence that is refused is an error, until one is accepted", async (context) => {
  const lines = logged(context);
  const server = new FakeServer();
  const state = channelStore(server.realtime, "room", { presence: true });
  const users = presenceStore(server.realtime, "room");
  state.subscribe(nothing);
  users.subscribe(nothing);
  server.peer.hello().subscribed("room", { presence: { users: [], count: 0 } });
  await flush();
  const update = ownPresence({ color: "red" });
  const answered = async (own: object, answer: object): Promise<string | undefined> => {
    update(server.realtime, "room", state.get(), own);
    await flush();
    const { ref } = server.peer.of("presence:update").at(-1)!;
    server.peer.send({ type: "ack", channel: "room", ref, ...answer });
    await flush();
    return users.get().error?.message;
  };
  const refusal = { type: "error", code: "RT_009", message: "4096 bytes" };
  assert.equal(await answered({ color: "long" }, refusal), "4096 bytes");
  assert.deepEqual(lines, ["[bunbase] RT_009 room: 4096 bytes"]);
  assert.equal(await answered({ color: "blue" }, {}), undefined);
  update(server.realtime, "room", state.get(), { color: "cut off" });
  server.realtime.disconnect();
  await flush();
  assert.deepEqual([users.get().error, lines.length], [undefined, 1]);
});

test("queries of other fields are others, and equal ones share a subscription", () => {
  const server = new FakeServer();
  const todos = server.realtime.database().collection("todos");
  const queries = [todos, todos.select("title"), todos.select("title"), todos.select("title", "done")];
  for (const query of queries) queryStore(server.realtime, query).subscribe(nothing);
  for (const query of queries) pagesStore(server.realtime, query, 2).subscribe(nothing);
  const selected = server.peer
    .hello()
    .of("subscribe")
    .map(({ query }) => (query as { select?: string[] }).select);
  assert.deepEqual(selected, [undefined, ["title"], ["title", "done"], undefined, ["title"], ["title", "done"]]);
});

test("to load more by what a store has left behind does nothing", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const server = new FakeServer();
  const store = pagesStore(server.realtime, server.realtime.database().collection("c"), 1);
  const leave = store.subscribe(nothing);
  const peer = server.peer.hello();
  accept({ server }, "0/10", "a", "b");
  const { hasMore, loadMore } = store.get();
  assert.equal(hasMore, true);
  leave();
  context.mock.timers.tick(1000);
  assert.equal(peer.of("unsubscribe").length, 1);
  loadMore();
  assert.equal(peer.of("subscribe").length, 1);
});
