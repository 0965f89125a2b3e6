// Channels and presence in components.

import assert from "node:assert/strict";
import { test } from "node:test";
import { writable } from "svelte/store";
import Room from "./components/Room.svelte";
import Rooms from "./components/Rooms.svelte";
import Users from "./components/Users.svelte";
import Absent from "./components/Absent.svelte";
import { Page } from "./page.js";

test("components share a channel, each with its listeners, and go to another one", async () => {
  const [name, factor] = [writable("room"), writable(2)];
  const page = new Page(Rooms, { name, factor });
  const { peer } = page.server;
  await page.after(() => peer.hello().subscribed("room"));
  await page.after(() => peer.message("room", 3));
  assert.equal(page.text, "subscribed 3 subscribed 6 ");
  factor.set(10);
  await page.after(() => peer.message("room", 4));
  assert.equal(page.text, "subscribed 4 subscribed 40 ");
  assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 0]);
  await page.after(() => name.set("hall"));
  assert.equal(page.text, "subscribing 4 subscribing 40 ");
  await page.after(() => peer.subscribed("hall"));
  await page.after(() => {
    peer.message("room", 5);
    peer.message("hall", 6);
  });
  assert.equal(page.text, "subscribed 6 subscribed 60 ");
  await page.close();
});

test("a channel that is refused is an error", async () => {
  const page = new Page(Room, { name: writable("room"), factor: writable(1) });
  await page.after(() => {
    const { peer } = page.server;
    const { id } = peer.hello().of("subscribe")[0]!;
    peer.send({ type: "error", code: "RT_003", message: "no", channel: "room", id });
  });
  assert.equal(page.text, "error 0 RT_003");
  await page.close();
});

test("the users of a channel are kept, and the own presence is sent when it changes", async () => {
  const color = writable("red");
  const page = new Page(Users, { color });
  const user = (id: string, color: string) => ({ id, name: null, metadata: {}, state: { color } });
  const { peer } = page.server;
  await page.after(() => peer.hello().subscribed("room", { presence: { users: [user("ada", "red")], count: 1 } }));
  assert.equal(page.text, "subscribed 1 ada:red");
  assert.deepEqual(peer.of("subscribe").map(({ presence }) => presence), [{ color: "red" }]); // prettier-ignore
  await page.after(() =>
    peer.send({ type: "presence:join", channel: "room", user: user("ben", "blue"), position: "0/20/0" }),
  );
  assert.equal(page.text, "subscribed 2 ada:red,ben:blue");
  await page.after(() => color.set("green"));
  assert.deepEqual(peer.of("presence:update").map(({ data }) => data), [{ color: "green" }]); // prettier-ignore
  await page.close();
});

test("users of a channel that was subscribed to without presence are an error", async (context) => {
  context.mock.method(console, "error", () => {});
  const page = new Page(Absent, {});
  await page.after(() => page.server.peer.hello().subscribed("room"));
  assert.equal(page.text, "subscribed subscribed 0 RT_009");
  await page.close();
});
