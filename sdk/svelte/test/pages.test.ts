// Pages of a live query in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { writable } from "svelte/store";
import { accept, limits, refuse } from "../../js/test/helpers.js";
import Paged from "./components/Paged.svelte";
import PagedTwice from "./components/PagedTwice.svelte";
import { Page } from "./page.js";

const press = (page: Page): void => page.element.querySelector("button")!.click();

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
