// Pages of a live query in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSSRApp, defineComponent, ref, type Ref } from "vue";
import { renderToString } from "vue/server-renderer";
import { RealtimePlugin, usePages } from "../src/index.js";
import { FakeServer } from "../../js/test/fake_server.js";
import { accept, limits, refuse } from "../../js/test/helpers.js";
import { Page } from "./page.js";

const paged = (room: Ref<string | null>, size: Ref<number> = ref(2)) => ({
  setup: () =>
    usePages((db) => (room.value ? db.collection("c").where("room", "==", room.value).orderBy("at") : null), size),
  template: `<button @click="loadMore">{{ [status, docs.map(({ id }) => id).join(""), hasMore ? "more" : "", error?.code].filter(Boolean).join(" ") }}</button>`,
});

const press = (page: Page): void => page.element.querySelector("button")!.click();

test("components share what is loaded", async () => {
  const Paged = defineComponent(paged(ref("a")));
  const page = new Page({ components: { Paged }, template: "<Paged/><Paged/>" });
  press(page); // before there is a page
  await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
  assert.equal(page.text, "live xy more".repeat(2));
  press(page);
  press(page); // while one is loaded
  await page.after(() => accept(page, "0/20", "x", "y", "z"));
  assert.equal(page.text, "live xyz".repeat(2));
  assert.deepEqual([limits(page), page.server.peer.of("unsubscribe").length], [[3, 5], 1]);
  page.close();
});

test("another query, or another size, begins with its first page; without one nothing is asked", async () => {
  const [room, size] = [ref<string | null>("a"), ref(2)];
  const page = new Page(defineComponent(paged(room, size)));
  await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
  await page.after(() => (room.value = "b"));
  assert.equal(page.text, "loading");
  await page.after(() => (accept(page, "0/20", "u"), (size.value = 5)));
  await page.after(() => accept(page, "0/30", "u"));
  assert.equal(page.text, "live u");
  await page.after(() => (room.value = null));
  assert.deepEqual([page.text, limits(page)], ["idle", [3, 3, 6]]);
  page.close();
});

test("after a page that was refused the list is live, and loads it again; its end is an error", async () => {
  const page = new Page(defineComponent(paged(ref("a"))));
  await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
  press(page);
  await page.after(() => refuse(page));
  assert.equal(page.text, "live xy more RT_004");
  press(page);
  await page.after(() => accept(page, "0/20", "x", "y", "z", "u", "v"));
  assert.deepEqual([page.text, limits(page)], ["live xyzu more", [3, 5, 5]]);
  await page.after(() => refuse(page));
  assert.equal(page.text, "error xyzu RT_004");
  page.close();
});

test("on a server it is loading, and no connection is opened", async () => {
  const server = new FakeServer({ autoConnect: false });
  const { document } = globalThis;
  Reflect.deleteProperty(globalThis, "document");
  const app = createSSRApp(defineComponent(paged(ref("a")))).use(RealtimePlugin, server.realtime);
  const html = await renderToString(app).finally(() => (globalThis.document = document));
  assert.equal(html, "<button>loading</button>");
  assert.deepEqual([server.peers.length, server.clock.waiting], [0, 0]);
});
