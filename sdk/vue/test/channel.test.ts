// Channels and presence in components.

import assert from "node:assert/strict";
import { test } from "node:test";
import { defineComponent, reactive, ref } from "vue";
import { useChannel, usePresence } from "../src/index.js";
import { Page } from "./page.js";

interface Events {
  n: number;
}

test("components share a channel, each with its listeners, and go to another one", async () => {
  const name = ref("room");
  const Room = defineComponent({
    props: { factor: { type: Number, required: true } },
    setup(props) {
      const last = ref(0);
      const { status } = useChannel<Events>(name, { n: ({ data }) => (last.value = data * props.factor) });
      return { last, status };
    },
    template: `<p>{{ status + ' ' + last + ' ' }}</p>`,
  });
  const two = ref(2);
  const page = new Page({
    components: { Room },
    setup: () => ({ two }),
    template: `<Room :factor="1"/><Room :factor="two"/>`,
  });
  const { peer } = page.server;
  await page.after(() => peer.hello().subscribed("room"));
  await page.after(() => peer.message("room", 3));
  assert.equal(page.text, "subscribed 3 subscribed 6 ");
  await page.after(() => (two.value = 10));
  await page.after(() => peer.message("room", 4));
  assert.equal(page.text, "subscribed 4 subscribed 40 ");
  assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 0]);
  await page.after(() => (name.value = "hall"));
  assert.equal(page.text, "subscribing 4 subscribing 40 ");
  await page.after(() => peer.subscribed("hall"));
  await page.after(() => {
    peer.message("room", 5);
    peer.message("hall", 6);
  });
  assert.equal(page.text, "subscribed 6 subscribed 60 ");
  page.close();
});

test("a channel that is refused is an error", async () => {
  const page = new Page({ setup: () => useChannel("room"), template: `{{ status }} {{ error?.code }}` });
  await page.after(() => {
    const { peer } = page.server;
    const { id } = peer.hello().of("subscribe")[0]!;
    peer.send({ type: "error", code: "RT_003", message: "no", channel: "room", id });
  });
  assert.equal(page.text, "error RT_003");
  page.close();
});

test("the users of a channel are kept, and the own presence is sent when it changes", async () => {
  const own = reactive({ color: "red" });
  const page = new Page({
    setup: () => usePresence<{ color: string }>("room", own),
    template: `{{ status }} {{ count }} {{ users.map(({ id, state }) => id + ":" + state.color).join() }}`,
  });
  const user = (id: string, color: string) => ({ id, name: null, metadata: {}, state: { color } });
  const { peer } = page.server;
  await page.after(() => peer.hello().subscribed("room", { presence: { users: [user("ada", "red")], count: 1 } }));
  assert.equal(page.text, "subscribed 1 ada:red");
  assert.deepEqual(peer.of("subscribe").map(({ presence }) => presence), [{ color: "red" }]); // prettier-ignore
  await page.after(() =>
    peer.send({ type: "presence:join", channel: "room", user: user("ben", "blue"), position: "0/20/0" }),
  );
  assert.equal(page.text, "subscribed 2 ada:red,ben:blue");
  await page.after(() => (own.color = "green"));
  assert.deepEqual(peer.of("presence:update").map(({ data }) => data), [{ color: "green" }]); // prettier-ignore
  page.close();
});

test("users of a channel that was subscribed to without presence are an error", async (context) => {
  context.mock.method(console, "error", () => {});
  const page = new Page({
    setup() {
      useChannel("room");
      return usePresence("room");
    },
    template: `{{ status }} {{ count }} {{ error?.code }}`,
  });
  await page.after(() => page.server.peer.hello().subscribed("room"));
  assert.equal(page.text, "subscribed 0 RT_009");
  page.close();
});
