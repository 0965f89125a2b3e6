// The edges of pages: without an error handler, and at the server's limit of a query.

import assert from "node:assert/strict";
import { test } from "node:test";

import { pages, type Pages } from "../../src/client/pages.js";
import { FakeServer, flush } from "../fake_server.js";
import { accept } from "../helpers.js";

/** Pages of a client, whose errors without a handler are among the events of the server in memory. */
function follow(server: FakeServer, size: number, ...onError: [] | [(error: Error) => void]): Pages {
  return server.realtime
    .database()
    .collection("c")
    .pages(size, () => {}, ...onError);
}

test("without an error handler the client reports why pages were refused", async () => {
  const server = new FakeServer();
  follow(server, 2);
  const { id } = server.peer.hello().of("subscribe")[0]!;
  server.peer.send({ type: "error", code: "RT_003", message: "no", channel: "db:collection:c", id });
  await flush();
  assert.deepEqual(server.events, ["connected", "error RT_003"]);
});

test("a page has at most 9,999 documents, and so have all together", () => {
  const server = new FakeServer();
  for (const size of [0, -1, 1.5, NaN, 10_000])
    assert.throws(() => follow(server, size), {
      name: "TypeError",
      message: `size: a whole number from 1 to 9999 is expected, not ${size}`,
    });
  const errors: string[] = [];
  const followed = follow(server, 6000, ({ message }) => errors.push(message));
  const peer = server.peer.hello();
  const list = (position: string, length: number): void => {
    const { id, query } = peer.of("subscribe").at(-1)!;
    assert.equal(query.limit, length);
    const channel = "db:collection:c";
    const changes = Array.from({ length }, (_, newIndex) => {
      const id = `${newIndex}`;
      return { type: "added", oldIndex: -1, newIndex, doc: { id, data: { id } } };
    });
    peer.send({ type: "subscribed", channel, id, position, epoch: "e" });
    peer.send({ type: "snapshot", channel, id, position, reset: true, changes });
  };
  list("0/10", 6001);
  followed.loadMore();
  list("0/20", 10_000);
  assert.deepEqual([followed.docs.length, followed.hasMore, errors], [9999, true, []]);
  followed.loadMore();
  assert.deepEqual(errors, ["pages: at most 9999 documents can be loaded"]);
  assert.equal(peer.of("subscribe").length, 2);
});

test("pages are a function, too, and need no listener", () => {
  const server = new FakeServer();
  const query = server.realtime.database().collection("c");
  const both = [query.pages(1), pages(query, 1)];
  const peer = server.peer.hello();
  for (const { id } of peer.of("subscribe")) {
    const [channel, position] = ["db:collection:c", "0/10"];
    const changes = ["a", "b"].map((id, newIndex) => ({
      type: "added",
      oldIndex: -1,
      newIndex,
      doc: { id, data: {} },
    }));
    peer.send({ type: "subscribed", channel, id, position, epoch: "e" });
    peer.send({ type: "snapshot", channel, id, position, reset: true, changes });
  }
  assert.deepEqual(
    both.map(({ docs, hasMore }) => [docs.map(({ id }) => id), hasMore]),
    [
      [["a"], true],
      [["a"], true],
    ],
  );
});

test("to load more of pages that were unsubscribed is an error, and without effect where there is no more", () => {
  const server = new FakeServer();
  const followed = follow(server, 1);
  const peer = server.peer.hello();
  followed.loadMore(); // the first page is still to come
  accept({ server }, "0/10", "a");
  followed.loadMore();
  assert.equal(peer.of("subscribe").length, 1);
  followed.unsubscribe();
  for (const pages of [followed, follow(server, 1)]) {
    pages.unsubscribe();
    assert.throws(() => pages.loadMore(), {
      name: "RealtimeError",
      code: "RT_004",
      message: "pages: unsubscribed",
    });
  }
});
