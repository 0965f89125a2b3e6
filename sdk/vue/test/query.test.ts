// Live queries in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createApp, createSSRApp, defineComponent, effectScope, nextTick, ref, type Component } from "vue";
import { renderToString } from "vue/server-renderer";
import { RealtimePlugin, useConnectionState, useQuery } from "../src/index.js";
import { FakeServer, flush } from "../../js/test/fake_server.js";
import { added, sendSnapshot } from "../../js/test/helpers.js";
import { Page } from "./page.js";

const template = `<p>{{ [status, docs.map(({ id }) => id).join(""), strategy, error?.code].join(" ").trim() }}</p>`;

const List = defineComponent({
  props: { room: { type: String, default: "a" } },
  setup: (props) => useQuery((db) => db.collection("c").where("room", "==", props.room).orderBy("at").limit(5)),
  template,
});

/** The same query as that of `List`, written in another order. */
const Other = defineComponent({
  setup: () => useQuery((db) => db.collection("c").limit(5).orderBy("at").where("room", "==", "a")),
  template,
});

const State = defineComponent({ setup: useConnectionState, template: `<b>{{ [state, reason].join(" ").trim() }}</b>` });

/** A component of others. */
const shows = (inner: string, given: object = {}): Component => ({
  components: { List, Other, State },
  setup: () => given,
  template: inner,
});

function accept({ server: { peer } }: Page, ...ids: string[]): void {
  if (peer.received.length === 0) peer.hello();
  peer.subscribed("db:collection:c", { strategy: "incremental" });
  sendSnapshot(peer, "0/10", true, added(...ids));
}

test("equal queries share one subscription", async () => {
  const more = ref(true);
  const page = new Page(shows(`<List/><template v-if="more"><List/><Other/></template>`, { more }));
  assert.equal(page.text, "loadingloadingloading");
  await page.after(() => accept(page, "x", "y"));
  assert.equal(page.text, "live xy incremental".repeat(3));
  await page.after(() => (more.value = false));
  assert.equal(page.text, "live xy incremental");
  const { peer } = page.server;
  assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 0]);
  page.close();
});

test("a query follows what it reads, and shows no rows of the one before", async () => {
  const room = ref("a");
  const shown: string[] = [];
  const Switching = defineComponent({
    setup() {
      const { docs, status } = useQuery((db) => db.collection("c").where("room", "==", room.value));
      return () => void shown.push(`${room.value}: ${status.value} ${docs.value.map(({ id }) => id).join("")}`);
    },
  });
  const page = new Page(Switching);
  await page.after(() => accept(page, "x"));
  await page.after(() => (room.value = "b"));
  await page.after(() => accept(page, "y"));
  assert.deepEqual(
    shown.filter((each, index) => each !== shown[index - 1]),
    ["a: loading ", "a: live x", "b: loading ", "b: live y"],
  );
  const where = page.server.peer.of("subscribe").map(({ query }) => query.where);
  assert.deepEqual(where, [[["room", "==", "a"]], [["room", "==", "b"]]]);
  page.close();
});

test("what a query reads may change without another query", async () => {
  const [room, reads] = [ref("a"), ref(0)];
  const Reading = defineComponent({
    setup: () =>
      useQuery((db) => {
        reads.value; // eslint-disable-line @typescript-eslint/no-unused-expressions -- to depend on it
        return db.collection("c").where("room", "==", room.value);
      }),
    template,
  });
  const page = new Page(Reading);
  await page.after(() => accept(page, "x"));
  await page.after(() => reads.value++);
  assert.equal(page.text, "live x incremental");
  assert.equal(page.server.peer.of("subscribe").length, 1);
  page.close();
});

test("a component that is mounted again has its rows at once; a second later nothing is left", async (context) => {
  const on = ref(true);
  const page = new Page(shows(`<List v-if="on"/>`, { on }));
  await page.after(() => accept(page, "x"));
  const { peer } = page.server;
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const show = (value: boolean): Promise<void> => ((on.value = value), nextTick());
  await show(false);
  context.mock.timers.tick(999);
  await show(true);
  context.mock.timers.tick(5000);
  assert.deepEqual([page.text, peer.of("unsubscribe").length], ["live x incremental", 0]);
  await show(false);
  context.mock.timers.tick(1000);
  assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 1]);
  await show(true);
  assert.deepEqual([page.text, peer.of("subscribe").length], ["loading", 2]);
  context.mock.timers.reset();
  page.close();
});

test("a refusal is an error, and the next component tries again", async () => {
  const on = ref(true);
  const page = new Page(shows(`<List v-if="on"/>`, { on }));
  await page.after(() => {
    const { peer } = page.server;
    const { id } = peer.hello().of("subscribe").at(-1)!;
    peer.send({ type: "error", code: "RT_004", message: "no", channel: "db:collection:c", id });
  });
  assert.equal(page.text, "error   RT_004");
  await page.after(() => (on.value = false));
  await page.after(() => (on.value = true));
  assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["loading", 2]);
  page.close();
});

test("without a query nothing is asked", async () => {
  const on = ref(false);
  const Maybe = defineComponent({ setup: () => useQuery((db) => (on.value ? db.collection("c") : null)), template });
  const page = new Page(Maybe);
  await page.after(() => page.server.peer.hello());
  assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["idle", 0]);
  await page.after(() => (on.value = true));
  assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["loading", 1]);
  page.close();
});

test("outside of components a query is followed until its scope ends", async () => {
  const page = new Page(shows("<p/>"));
  const scope = effectScope();
  const { status } = page.app.runWithContext(() => scope.run(() => useQuery((db) => db.collection("c")))!);
  await page.after(() => {});
  await page.after(() => accept(page, "x"));
  assert.equal(status.value, "live");
  scope.stop();
  await new Promise((resolve) => setTimeout(resolve, 1001));
  assert.equal(page.server.peer.of("unsubscribe").length, 1);
  page.close();
});

/** Render on a server: there is no document. */
async function rendered(component: Component): Promise<{ html: string; server: FakeServer }> {
  const server = new FakeServer({ autoConnect: false });
  const { document } = globalThis;
  try {
    Reflect.deleteProperty(globalThis, "document");
    const html = await renderToString(createSSRApp(component).use(RealtimePlugin, server.realtime));
    await flush();
    return { html, server };
  } finally {
    globalThis.document = document;
  }
}

test("on a server everything is loading, and no connection is opened", async () => {
  const { html, server } = await rendered(shows(`<List/><State/>`));
  assert.equal(html, "<!--[--><p>loading</p><b>closed</b><!--]-->");
  assert.deepEqual([server.peers.length, server.clock.waiting], [0, 0]);
});

test("a browser goes on from what a server has rendered", async (context) => {
  const complaints = context.mock.method(console, "error", () => {});
  const component = shows(`<List/><State/>`);
  const { html } = await rendered(component);
  const server = new FakeServer({ autoConnect: false });
  const page = new Page(component, { server, html });
  assert.equal(page.text, "loadingclosed");
  await page.after(() => accept(page, "x"));
  assert.equal(page.text, "live x incrementalopen");
  assert.equal(complaints.mock.callCount(), 0);
  page.close();
});

test("composables need the plugin", () => {
  const app = createApp(List);
  const errors: unknown[] = [];
  app.config.errorHandler = (error) => errors.push(error);
  app.config.warnHandler = () => {};
  app.mount(document.createElement("div"));
  assert.match(String(errors[0]), /need app\.use\(RealtimePlugin, client\)/);
});

test("the state of the connection is shown with its reason", async () => {
  const page = new Page(State);
  await page.after();
  assert.equal(page.text, "connecting");
  await page.after(() => page.server.peer.hello());
  assert.equal(page.text, "open");
  await page.after(() => page.server.peer.end(1006, "gone"));
  assert.match(page.text, /^offline/);
  page.close();
});
