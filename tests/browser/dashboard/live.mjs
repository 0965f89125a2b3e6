// The dashboard of an administrator, who signs in with a token: node live.mjs GIVEN FOLDER
// GIVEN is JSON: the server's url and key, the administrator's token and its session, and the token of a client.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

import { address, heading, loaded, openView, rowsOf, signIn, Watch } from "./operator.mjs";
import { launch } from "../launch.mjs";
import { eventually } from "../../support/eventually.mjs";

/** Of two seconds each; with what comes before them, less than after what a connection that is silent is looked after. */
const ROUNDS = 12_000;
const VIEWS = {
  overview: "Overview",
  connections: "Connections",
  channels: "Channels",
  queries: "Live queries",
  slots: "Slots",
  alerts: "Alerts",
  analytics: "Analytics",
};
const given = JSON.parse(process.argv[2]);
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
const watch = new Watch();
const page = await context.newPage();
watch.look(page);
const asked = [];
page.on("request", (request) => asked.push(new URL(request.url()).pathname));
const open = new Set();
page.on("request", (request) => open.add(request));
for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => open.delete(request));
/** Subscriptions that have been asked for a second time on their connection. */
const twice = [];
/** Those of the last connection that have not got their first list. */
let waiting = new Set();
page.on("websocket", (socket) => {
  const ids = new Set();
  const unanswered = (waiting = new Set());
  socket.on("framesent", ({ payload }) => {
    const { type, id } = JSON.parse(payload);
    if (type === "unsubscribe") unanswered.delete(id);
    if (type !== "subscribe" || !id) return;
    if (ids.has(id)) twice.push(payload);
    ids.add(id);
    unanswered.add(id);
  });
  socket.on("framereceived", ({ payload }) => {
    const { type, id } = JSON.parse(payload);
    if (type === "snapshot" || type === "error") unanswered.delete(id);
  });
});
/** All lists have come, and what was asked for because of them: what the connection found on the page was asked for before. */
const answered = async () => {
  await eventually(() => assert.equal(waiting.size, 0));
  await eventually(async () => {
    const before = asked.length;
    await page.clock.runFor(200);
    assert.deepEqual([asked.slice(before), open.size], [[], 0]);
  });
};
const times = (path) => asked.filter((each) => each === path).length;
const ask = async (method, path, body) => {
  const headers = { Authorization: `Bearer ${given.key}`, "Content-Type": "application/json" };
  const response = await fetch(`${given.url}/realtime${path}`, { method, headers, body: JSON.stringify(body) });
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${await response.text()}`);
};

/** Clients that connect, join a channel, and leave. */
const client = await context.newPage();
await client.evaluate(() => void (globalThis.sockets = []));
const connect = () =>
  client.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onmessage = resolve;
        globalThis.sockets.push(socket);
      }).then(() => null),
    `${given.url.replace("http", "ws")}/realtime?token=${given.client}`,
  );
const send = (at, message) =>
  client.evaluate(([i, text]) => globalThis.sockets.at(i).send(text), [at, JSON.stringify(message)]);
const join = (at, name) => send(at, { type: "subscribe", channel: "chat:lounge", presence: { name } });
const leave = (at) => send(at, { type: "unsubscribe", channel: "chat:lounge" });
/** A token of an administrator that ends in so many seconds. */
const expiring = (seconds) => {
  const now = Math.floor(Date.now() / 1000);
  const parts = [
    { alg: "HS256", typ: "JWT" },
    { ...given.claims, iat: now, exp: now + seconds },
  ];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${createHmac("sha256", given.secret).update(text).digest("base64url")}`;
};
const members = (expected) =>
  eventually(async () =>
    assert.deepEqual(
      (await rowsOf(page, "Members")).map((cells) => cells.slice(0, 4)),
      expected,
    ),
  );
const users = () => page.locator(".window tr[data-key] th").allTextContents();

try {
  await watch.during(/401/, async () => {
    await page.goto(address(given.url, "overview"));
    await signIn(page, given.token);
    await heading(page, "Overview");
  });
  await page.waitForSelector('#connection[data-live="true"]');
  assert.equal(await page.textContent("#connection"), "Live");

  await openView(page, "connections", "Connections");
  await eventually(async () => assert.deepEqual(await users(), ["ops"]));
  await connect();
  await eventually(async () => assert.deepEqual((await users()).sort(), ["ada", "ops"]));
  await page.selectOption(".filters select", "-connectedAt");
  await eventually(async () => assert.deepEqual(await users(), ["ada", "ops"]));
  await page.fill('input[type="search"]', "ad");
  await eventually(async () => assert.deepEqual(await users(), ["ada"]));
  await client.evaluate(() => globalThis.sockets.pop().close(1000));
  await page.waitForSelector(".window .none:not([hidden])");
  assert.equal(times("/realtime/connections"), 0);
  console.log("ok - clients come and go without a request for the list");

  await page.goto(address(given.url, "channels", "chat:lounge"));
  await heading(page, "Channel chat:lounge");
  await loaded(page);
  await connect();
  await connect();
  await join(0, "Ada");
  await members([["ada", "Ada", "–", "1"]]);
  await join(1, "Ada L.");
  await members([["ada", "Ada L.", "–", "2"]]);
  await leave(1);
  await members([["ada", "Ada", "–", "1"]]);
  await leave(0);
  await members([]);
  assert.equal(times("/realtime/channels/chat%3Alounge/presence"), 0);
  console.log("ok - members come and go without a request for the list");

  await page.goto(address(given.url, "overview"));
  await heading(page, "Overview");
  const clients = () => page.textContent('[data-figure="connections"]');
  await eventually(async () => assert.equal(await clients(), "3"));
  await client.evaluate(() => globalThis.sockets.pop().close(1000));
  await eventually(async () => assert.equal(await clients(), "2"));
  console.log("now - an alert");
  await eventually(async () => assert.equal((await rowsOf(page, "Open alerts"))[0]?.[0], "slot_lag"));
  assert.equal(await page.textContent("#open-alerts"), "1 open");
  console.log("now - no alert");
  await eventually(async () => assert.deepEqual(await rowsOf(page, "Open alerts"), []));
  console.log("ok - figures change, and alerts come and go");

  await page.clock.install();
  for (const [view, title] of Object.entries(VIEWS)) {
    await openView(page, view, title);
    await page.reload(); // the clock is there before the page sets its first timer
    await page.waitForSelector('#connection[data-live="true"]');
    await loaded(page);
    await answered();
    const before = asked.length;
    await page.clock.runFor(ROUNDS);
    assert.deepEqual(asked.slice(before), [], view);
  }
  await page.clock.resume();
  console.log("ok - no page asks again while it is sent what it shows");

  const sofar = times("/realtime/connections");
  await openView(page, "connections", "Connections");
  await eventually(async () => assert.ok((await users()).includes("ops")));
  assert.equal(times("/realtime/connections"), sofar);
  await page.reload(); // now the list is there before the connection
  await page.waitForSelector('#connection[data-live="true"]');
  await connect();
  await eventually(async () => assert.ok((await users()).includes("ada")));
  const before = times("/realtime/connections");
  console.log("now - many clients");
  await eventually(async () => assert.ok((await page.textContent(".total")).startsWith("1,1")));
  await page.focus(".window");
  await eventually(async () => {
    await page.keyboard.press("End"); // again where a connection that ended has moved it
    assert.equal(await page.locator('.window tr[data-key="seeded-1100"]').count(), 1);
  });
  assert.ok(times("/realtime/connections") > before);
  console.log("ok - of a list that is too long to be sent, what is in sight is asked for");

  await watch.during(/401/, async () => {
    await ask("DELETE", `/sessions/${given.session}`);
    await page.waitForSelector(".sign-in .problem:not([hidden])");
  });
  assert.equal(await page.getAttribute("#connection", "data-live"), "false");
  await signIn(page, given.key);
  await page.waitForSelector('#connection[data-live="true"]');
  await page.click("#sign-out");
  await page.waitForSelector(".sign-in");
  console.log("ok - the page of a key is sent what it shows");

  const other = await context.newPage();
  watch.look(other);
  await other.goto(address(given.unkeyed, "connections"));
  await other.waitForSelector('#connection[data-live="true"]');
  assert.equal(await other.locator("#sign-out").isVisible(), false);
  await other.evaluate((text) => sessionStorage.setItem("bunbase-dashboard-key", text), given.opaque);
  await other.reload();
  await other.waitForSelector('#connection[data-live="true"]');
  await other.fill('input[type="search"]', "ann");
  await eventually(async () =>
    assert.deepEqual(await other.locator(".window tr[data-key] th").allTextContents(), ["ann"]),
  );
  const [socket] = await Promise.all([
    other.waitForEvent("websocket"),
    other.evaluate(
      async (url) => {
        const { Live } = await import("/dashboard/static/data/live.js");
        new Live(url).close(); // while it connects
      },
      `${given.unkeyed.replace("http", "ws")}/realtime`,
    ),
  ]);
  if (!socket.isClosed()) await socket.waitForEvent("close");
  await other.close();
  console.log("ok - so is that of this machine, and of a token of the operator's own kind");

  await watch.during(/401/, async () => {
    for (let seconds = 10; ; seconds *= 2) {
      await signIn(page, expiring(seconds));
      const live = page.waitForSelector('#connection[data-live="true"]').then(() => true);
      const refused = page.waitForSelector(".sign-in .problem:not([hidden])").then(() => false);
      if (await Promise.race([live, refused])) break; // else it had ended before the page was there
    }
    await page.waitForSelector(".sign-in .problem:not([hidden])", { timeout: 60_000 });
  });
  assert.match(await page.textContent(".sign-in .problem"), /token expired/);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  console.log("ok - a token that ends while the page is open leads to the form, with the reason");
  console.log("ok - a session that is revoked leads to the form");
  assert.deepEqual(twice, []);
  assert.deepEqual(watch.complaints, []);
} catch (error) {
  console.log(`not ok - ${error.stack ?? error}\n${watch.complaints.join("\n")}`);
  await page.screenshot({ path: `${process.argv[3]}/failed.png` });
  process.exitCode = 1;
}
await browser.close();
