// Live queries in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { flushSync, mount } from "svelte";
import { writable } from "svelte/store";
import { FakeServer } from "../../js/test/fake_server.js";
import { added, sendSnapshot } from "../../js/test/helpers.js";
import Both from "./components/Both.svelte";
import List from "./components/List.svelte";
import Lists from "./components/Lists.svelte";
import State from "./components/State.svelte";
import Switching from "./components/Switching.svelte";
import { Page } from "./page.js";

function accept({ server: { peer } }: Page, ...ids: string[]): void {
  peer.subscribed("db:collection:c", { strategy: "incremental" });
  sendSnapshot(peer, "0/10", true, added(...ids));
}

test("equal queries share one subscription", async () => {
  const count = writable(2);
  const page = new Page(Lists, { count });
  page.server.peer.hello();
  assert.equal(page.text, "loadingloadingloading");
  await page.after(() => accept(page, "x", "y"));
  assert.equal(page.text, "live xy incremental".repeat(3));
  await page.after(() => count.set(1));
  assert.equal(page.text, "live xy incremental");
  const { peer } = page.server;
  assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 0]);
  await page.close();
});

test("a query follows what it reads, and shows no rows of the one before", async () => {
  const [room, reads, shown] = [writable("a"), writable(0), [] as string[]];
  const page = new Page(Switching, { room, reads, shown });
  page.server.peer.hello();
  await page.after(() => accept(page, "x"));
  await page.after(() => reads.set(1));
  await page.after(() => room.set("b"));
  await page.after(() => accept(page, "y"));
  assert.deepEqual(
    shown.filter((each, index) => each !== shown[index - 1]),
    ["a: loading", "a: live x", "b: loading", "b: live y"],
  );
  const where = page.server.peer.of("subscribe").map(({ query }) => query.where);
  assert.deepEqual(where, [[["room", "==", "a"]], [["room", "==", "b"]]]);
  await page.close();
});

test("without a query nothing is asked", async () => {
  const [room, reads, shown] = [writable(""), writable(0), [] as string[]];
  const page = new Page(Switching, { room, reads, shown });
  await page.after(() => page.server.peer.hello());
  assert.deepEqual([shown, page.server.peer.of("subscribe").length], [[": idle"], 0]);
  await page.after(() => room.set("a"));
  assert.deepEqual([shown.at(-1), page.server.peer.of("subscribe").length], ["a: loading", 1]);
  await page.close();
});

test("a component that is mounted again has its rows at once; a second later nothing is left", async (context) => {
  const count = writable(1);
  const page = new Page(Lists, { count });
  page.server.peer.hello();
  await page.after(() => accept(page, "x"));
  const { peer } = page.server;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const show = async (value: number): Promise<void> => {
    count.set(value);
    flushSync();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  await show(0);
  context.mock.timers.tick(999);
  await show(1);
  context.mock.timers.tick(5000);
  assert.deepEqual([page.text, peer.of("unsubscribe").length], ["live x incremental", 0]);
  await show(0);
  context.mock.timers.tick(1000);
  assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 1]);
  await show(1);
  assert.deepEqual([page.text, peer.of("subscribe").length], ["loading", 2]);
  context.mock.timers.reset();
  await page.close();
});

test("a refusal is an error, and the next component tries again", async () => {
  const count = writable(1);
  const page = new Page(Lists, { count });
  await page.after(() => {
    const { peer } = page.server;
    const { id } = peer.hello().of("subscribe").at(-1)!;
    peer.send({ type: "error", code: "RT_004", message: "no", channel: "db:collection:c", id });
  });
  assert.equal(page.text, "error   RT_004");
  await page.after(() => count.set(0));
  await page.after(() => count.set(1));
  assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["loading", 2]);
  await page.close();
});

test("a browser goes on from what a server has rendered", async (context) => {
  const complaints = context.mock.method(console, "warn", () => {});
  const server = new FakeServer({ autoConnect: false });
  const html = "<!--[--><!--[--><p>loading</p><!----><b>closed</b><!----><!--]--><!--]-->"; // as a server renders Both
  const page = new Page(Both, {}, { server, html });
  await page.after(() => page.server.peer.hello());
  await page.after(() => accept(page, "x"));
  assert.equal(page.text, "live x incrementalopen");
  assert.equal(complaints.mock.callCount(), 0);
  await page.close();
});

test("components need a client", () => {
  assert.throws(() => mount(List, { target: document.createElement("div") }), /needs setRealtime\(client\)/);
});

test("the state of the connection is shown with its reason", async () => {
  const page = new Page(State);
  assert.equal(page.text, "connecting");
  await page.after(() => page.server.peer.hello());
  assert.equal(page.text, "open");
  await page.after(() => page.server.peer.end(1006, "gone"));
  assert.match(page.text, /^offline/);
  await page.close();
});
