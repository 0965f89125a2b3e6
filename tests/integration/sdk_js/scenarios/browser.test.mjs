// The SDK in a browser, Chromium or Firefox: the documented examples, a chat over each transport with a loss of network, and networks that block.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { BROWSER, launch } from "../../../browser/launch.mjs";
import { NetworkGate } from "./gate.mjs";
import { eventually, name, restKey as key, sql, url } from "./support.mjs";

const SDK = new URL("../../../../sdk/js/", import.meta.url);
const upTo = (count) => Array.from({ length: count }, (_, index) => index);

let browser;
let files;
let gate;
const gates = [];
before(async () => {
  files = {
    "/snippets.mjs": await readFile(new URL("build/snippets.mjs", SDK)),
    "/examples.mjs": await readFile(new URL("examples.mjs", import.meta.url)),
    "/page.mjs": await readFile(new URL("page.mjs", import.meta.url)),
    "/support/eventually.mjs": await readFile(new URL("../../../support/eventually.mjs", import.meta.url)),
  };
  gate = await newGate();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  for (const each of gates) each.close();
});

async function newGate() {
  const one = await NetworkGate.open(url, "<!doctype html><title>SDK</title>");
  one.files = files;
  gates.push(one);
  return one;
}

/** A page of its own browser, with the SDK; what goes wrong in it is kept. */
async function open(through = gate) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.gate = through;
  page.errors = [];
  page.on("pageerror", (error) => {
    // Firefox reports of each WebSocket that fails what Chromium reports in the console only.
    if (!/\bws:\/\//.test(String(error))) page.errors.push(String(error));
  });
  await page.goto(through.url);
  await page.exposeFunction("sql", sql);
  return page;
}

/** A user in a chat room: what the page has received can be asked. */
async function chatter(room, options, through = gate) {
  const page = await open(through);
  await page.evaluate(async ([room, options]) => (await import("/page.mjs")).join(room, options), [room, options]);
  page.chat = () => page.evaluate(() => globalThis.chat);
  page.send = (from, to) => page.evaluate(([from, to]) => globalThis.send(from, to), [from, to]);
  return page;
}

/** Take a page off the network, or back; it has a gate of its own. */
async function setOffline(page, offline) {
  await page.context().setOffline(offline);
  if (BROWSER !== "firefox") return;
  // Its emulation (network conditions of WebDriver BiDi) leaves WebSockets alone, and pages receive nothing of it.
  page.gate.block(...(offline ? ["websocket"] : []));
  await page.evaluate((event) => dispatchEvent(new Event(event)), offline ? "offline" : "online");
}

test(`every documented example works as documented, in ${BROWSER}`, async () => {
  const page = await open();
  await page.evaluate(async (key) => {
    const [snippets, { runAll }, { eventually, equal }] = await Promise.all(
      ["/snippets.mjs", "/examples.mjs", "/page.mjs"].map((path) => import(path)),
    );
    await runAll(snippets, { key, sql: globalThis.sql, eventually, equal });
  }, key);
  assert.deepEqual(page.errors, []);
});

for (const transport of ["websocket", "sse", "polling"])
  test(`two pages chat over ${transport}; one is offline for five seconds: nothing lost, nothing doubled, presence right`, async () => {
    const room = name("presence");
    const options = { transports: [transport], heartbeatInterval: 1000, heartbeatTimeout: 5000 };
    const ada = await chatter(room, { ...options, user: "ada" });
    const bob = await chatter(room, { ...options, user: "bob" }, await newGate());
    const both = async (check) => eventually(async () => check(await ada.chat()) + check(await bob.chat()));
    await both(({ users }) => assert.deepEqual(users, ["ada", "bob"]));
    await ada.send(0, 20);
    await bob.send(20, 40);
    await both(({ received }) =>
      assert.deepEqual(
        [...received].sort((a, b) => a - b),
        upTo(40),
      ),
    );
    await setOffline(bob, true);
    await eventually(async () => assert.notEqual((await bob.chat()).state, "open"));
    const away = new Promise((resolve) => setTimeout(resolve, 5000));
    await ada.send(40, 60);
    await bob.send(60, 80);
    await away;
    const { received } = await bob.chat();
    assert.equal(received.length, 40);
    await setOffline(bob, false);
    await both(({ received, acknowledged, gaps, transport: used }) => {
      assert.deepEqual(
        [...received].sort((a, b) => a - b),
        upTo(80),
      );
      for (const [from, to] of [
        [0, 20],
        [20, 40],
        [40, 60],
        [60, 80],
      ])
        assert.deepEqual(
          received.filter((n) => from <= n && n < to),
          upTo(80).slice(from, to),
        );
      assert.deepEqual([acknowledged, gaps, used], [40, 0, transport]);
    });
    const [first, second] = [await ada.chat(), await bob.chat()];
    assert.deepEqual(first.received, second.received);
    assert.deepEqual(
      [first.users, second.users],
      [
        ["ada", "bob"],
        ["ada", "bob"],
      ],
    );
    assert.deepEqual(first.presence, ["join bob"]); // it was back within the presence timeout: no event was sent
    assert.deepEqual([ada.errors, bob.errors], [[], []]);
    await Promise.all([ada, bob].map((page) => page.context().close()));
    await new Promise((resolve) => setTimeout(resolve));
  });

test("with WebSockets blocked a page falls to event streams, then to polling, and goes up again when it can", async () => {
  const room = name("presence");
  const options = { connectTimeout: 3000, upgradeInterval: 500, heartbeatInterval: 1000, heartbeatTimeout: 10_000 };
  gate.block("websocket");
  const [ada, bob] = [
    await chatter(room, { ...options, user: "ada" }),
    await chatter(room, { ...options, user: "bob" }),
  ];
  let count = 0;
  for (const [blocked, wanted] of [
    [["websocket"], "sse"],
    [["websocket", "sse"], "polling"],
    [["websocket"], "sse"],
    [[], "websocket"],
  ]) {
    gate.block(...blocked);
    await ada.send(count, count + 20); // while the transport changes
    count += 20;
    for (const page of [ada, bob]) await eventually(async () => assert.equal((await page.chat()).transport, wanted));
    await bob.send(count, count + 20);
    count += 20;
    for (const page of [ada, bob])
      await eventually(async () =>
        assert.deepEqual(
          [...(await page.chat()).received].sort((a, b) => a - b),
          upTo(count),
        ),
      );
  }
  const [first, second] = [await ada.chat(), await bob.chat()];
  assert.deepEqual(first.received, second.received);
  assert.deepEqual([first.presence, first.gaps, second.gaps], [["join bob"], 0, 0]);
  assert.deepEqual(
    [first.users, second.users],
    [
      ["ada", "bob"],
      ["ada", "bob"],
    ],
  );
  assert.deepEqual([ada.errors, bob.errors], [[], []]);
});

for (const transport of ["websocket", "sse", "polling"])
  test(`a page that the browser reports as offline shows it soon over ${transport}, tries nothing, and is back at once`, async () => {
    const room = name();
    // Without the browser's word it would be noticed after minutes, and given up after three attempts.
    const options = {
      transports: [transport],
      heartbeatInterval: 60_000,
      heartbeatTimeout: 60_000,
      maxReconnectAttempts: 3,
    };
    const page = await chatter(room, options, await newGate());
    await page.send(0, 3);
    await eventually(async () => assert.equal((await page.chat()).acknowledged, 3));
    await setOffline(page, true);
    await eventually(async () => assert.equal((await page.chat()).state, "offline"), 30_000);
    await page.send(3, 6);
    await new Promise((resolve) => setTimeout(resolve, 3000)); // time for more attempts than there are
    assert.equal((await page.chat()).state, "offline");
    await setOffline(page, false);
    await eventually(async () => assert.deepEqual((await page.chat()).received, upTo(6)));
    assert.deepEqual(page.errors, []);
    await page.context().close();
  });

test("a plain EventSource, as documented, receives everything once over a loss of network", async () => {
  const room = name();
  const page = await open();
  await page.evaluate((room) => {
    const source = new EventSource(`/realtime/sse?channel=${room}&history=10`);
    const [seen, received] = [new Set(), (globalThis.received = [])];
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (seen.has(message.position)) return;
      seen.add(message.position);
      received.push(message.data);
    };
  }, room);
  const send = (n) => sql(`select realtime.broadcast('${room}', 'n', '${n}')`);
  const receives = (count) =>
    eventually(async () => assert.deepEqual(await page.evaluate(() => globalThis.received), upTo(count)));
  await send(0);
  await receives(1);
  gate.block("sse");
  for (const n of [1, 2, 3]) await send(n);
  gate.block();
  await send(4);
  await receives(5);
  await page.context().close();
});

test("a page of another origin loads the SDK from the server, without npm, and follows a list", async () => {
  const page = await open();
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  const room = name();
  await page.evaluate(
    async ([url, room]) => {
      const { Realtime } = await import(`${url}/realtime/sdk.js`);
      const query = new Realtime({ url: location.origin })
        .database()
        .collection("messages")
        .where("roomId", "==", room);
      query.onSnapshot(({ docs }) => (globalThis.bodies = docs.map((doc) => doc.data().body)));
    },
    [url, room],
  );
  const shows = (bodies) =>
    eventually(async () => assert.deepEqual(await page.evaluate(() => globalThis.bodies), bodies));
  await shows([]);
  await sql(`insert into messages (room_id, body) values ('${room}', 'one')`);
  await shows(["one"]);
  const modules = requests.filter((address) => address.startsWith(`${url}/realtime/sdk/`));
  assert.ok(modules.length > 20);
  assert.equal(new Set(modules).size, modules.length);
  await page.context().close();
});
