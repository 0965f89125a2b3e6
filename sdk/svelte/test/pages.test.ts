// Pages of a live query in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { writable } from "svelte/store";
import { added, sendSnapshot } from "../../js/test/helpers.js";
import Paged from "./components/Paged.svelte";
import PagedTwice from "./components/PagedTwice.svelte";
import { Page } from "./page.js";

const accept = ({ server: { peer } }: Page, position: string, ...ids: string[]): void => {
  peer.subscribed("db:collection:c", { strategy: "incremental" });
  sendSnapshot(peer, position, true, added(...ids));
};
const refuse = ({ server: { peer } }: Page, id = peer.of("subscribe").at(-1)!.id): void =>
  peer.send({ type: "error", code: "RT_004", message: "no", channel: "db:collection:c", id });
const press = (page: Page): void => page.element.querySelector("button")!.click();
const limits = ({ server: { peer } }: Page): unknown[] => peer.of("subscribe").map(({ query }) => query.limit);

test("components share what is loaded", async () => {
  const page = new Page(PagedTwice, { room: writable("a"), size: writable(2) });
  press(page); // before there is a page
  await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
  assert.equal(page.text, "live xy more".repeat(2));
  press(page);
  press(page); // while one is loaded
  await page.after(() => accept(page, "0/20", "x", "y", "z"));
  assert.equal(page.text, "live xyzlive xyz");
  assert.deepEqual([limits(page), page.server.peer.of("unsubscribe").length], [[3, 5], 1]);
  await page.close();
});

test("another query, or another size, begins with its first page; without one nothing is asked", async () => {
  const [room, size] = [writable("a"), writable(2)];
  const page = new Page(Paged, { room, size });
  await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
  await page.after(() => room.set("b"));
  assert.equal(page.text, "loading");
  await page.after(() => (accept(page, "0/20", "u"), size.set(5)));
  await page.after(() => accept(page, "0/30", "u"));
  assert.equal(page.text, "live u");
  await page.after(() => room.set(""));
  assert.deepEqual([page.text, limits(page)], ["idle", [3, 3, 6]]);
  await page.close();
});

test("after a page that was refused the list is live, and loads it again; its end is an error", async () => {
  const page = new Page(Paged, { room: writable("a"), size: writable(2) });
  await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
  press(page);
  await page.after(() => refuse(page));
  assert.equal(page.text, "live xy more RT_004");
  press(page);
  await page.after(() => accept(page, "0/20", "x", "y", "z", "u", "v"));
  assert.deepEqual([page.text, limits(page)], ["live xyzu more", [3, 5, 5]]);
  await page.after(() => refuse(page));
  assert.equal(page.text, "error xyzu RT_004");
  await page.close();
});
