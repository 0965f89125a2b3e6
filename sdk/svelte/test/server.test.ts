// Components that a server renders.

import assert from "node:assert/strict";
import { test } from "node:test";
import { render } from "svelte/server";
import { FakeServer, flush } from "../../js/test/fake_server.js";
import Both from "./components/Both.svelte";
import Paged from "./components/Paged.svelte";
import Rooms from "./components/Rooms.svelte";
import Root from "./components/Root.svelte";
import Users from "./components/Users.svelte";
import { readable } from "svelte/store";

async function rendered(component: unknown, props: object): Promise<{ text: string; server: FakeServer }> {
  const server = new FakeServer({ autoConnect: false });
  const { body } = await render(Root, { props: { client: server.realtime, component, props } });
  await flush();
  return { text: body.replace(/<[^>]*>/g, " ").replace(/ +/g, " ").trim(), server }; // prettier-ignore
}

test("everything is loading, and no connection is opened", async () => {
  const { text, server } = await rendered(Both, {});
  assert.equal(text, "loading closed");
  assert.deepEqual([server.peers.length, server.clock.waiting], [0, 0]);
  const paged = await rendered(Paged, { room: readable("a"), size: readable(2) });
  assert.deepEqual([paged.text, paged.server.peers.length], ["loading", 0]);
});

test("channels are not subscribed to", async () => {
  const { text, server } = await rendered(Rooms, { name: readable("room"), factor: readable(1) });
  assert.equal(text, "subscribing 0 subscribing 0");
  const users = await rendered(Users, { color: readable("red") });
  assert.equal(users.text, "subscribing 0");
  assert.deepEqual([server.peers.length, users.server.peers.length], [0, 0]);
});
