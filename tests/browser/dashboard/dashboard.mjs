// The dashboard as operators use it, in a real browser: node dashboard.mjs GIVEN FOLDER
// GIVEN is JSON: the server's url, its key, a time within the newest hour that has figures (milliseconds), and the clients and
// rooms that are acted upon. Screenshots go to FOLDER.

import assert from "node:assert/strict";

import {
  address,
  changeColours,
  checkLooks,
  dialog,
  heading,
  loaded,
  openView,
  rowsOf,
  scrollToEnd,
  signIn,
  Watch,
} from "./operator.mjs";
import { focusReturns, hangsThenRefuses, noSuchView, relayIsWell } from "./faults.mjs";
import { launch } from "../launch.mjs";
import { eventually } from "../../support/eventually.mjs";

const given = JSON.parse(process.argv[2]);
const folder = process.argv[3];
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
await context.routeWebSocket("**/realtime*", (socket) => socket.close()); // live.mjs is of pages that have one
const watch = new Watch();
const page = await context.newPage();
watch.look(page);
const ask = async (path) => {
  const response = await fetch(`${given.url}/realtime${path}`, { headers: { Authorization: `Bearer ${given.key}` } });
  return response.json();
};
const steps = [];
const step = (name, run) => steps.push({ name, run });

step("a wrong key is refused with the server's words, and the right one is kept for the tab alone", async () => {
  await watch.during(/401/, async () => {
    await page.goto(address(given.url, "overview"));
    await page.waitForSelector(".sign-in");
    await signIn(page, "no such key");
    await page.waitForSelector(".sign-in .problem:not([hidden])");
  });
  assert.match(await page.textContent(".sign-in .problem"), /Authorization: Bearer/);
  await signIn(page, given.key);
  await heading(page, "Overview");
  assert.equal(await page.textContent("#connection"), "Every 2 s");
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  await page.reload();
  await heading(page, "Overview");
});

step("the overview shows the figures of the nodes, of slots and of stages", async () => {
  await eventually(async () => {
    const { nodes } = await ask("/nodes");
    const connections = nodes.reduce((sum, node) => sum + node.connections, 0);
    assert.equal(await page.textContent('[data-figure="connections"]'), connections.toLocaleString("en"));
  });
  await loaded(page);
  assert.deepEqual(
    (await rowsOf(page, "Nodes")).map(([node]) => node).sort(),
    (await ask("/nodes")).nodes.map(({ node }) => node).sort(),
  );
  await relayIsWell({ page });
  assert.match(await page.textContent('[data-figure="retained"]'), /^\d.* [kMG]?B$/);
  assert.equal(await page.locator(".stages tbody tr").count(), 5);
  assert.equal((await rowsOf(page, "Open alerts"))[0][0], "many_errors");
});

step("10,000 connections are scrolled to the last one, and few of them are elements", async () => {
  await openView(page, "connections", "Connections");
  const { count } = await ask("/connections?count=true&limit=1");
  await eventually(async () => assert.equal(await page.textContent(".total"), count.toLocaleString("en")));
  const last = await scrollToEnd(page, count);
  assert.equal(last, "seeded-10000");
});

step("1,000 rooms are scrolled to the last one, by name", async () => {
  await openView(page, "channels", "Channels");
  const { count } = await ask("/active-channels?count=true&limit=1");
  await eventually(async () => assert.equal(await page.textContent(".total"), count.toLocaleString("en")));
  assert.equal(await scrollToEnd(page, count), "seeded:room-1000");
});

step("connections are searched and ordered, and the address keeps both", async () => {
  await openView(page, "connections", "Connections");
  await page.fill('input[type="search"]', "user-99");
  await eventually(async () => assert.equal(await page.textContent(".total"), "89")); // 99, 990–999, 9900–9999 but each fifth
  await page.selectOption(".filters select", "-connectedAt");
  await eventually(async () =>
    assert.equal(await page.locator(".window tr[data-key]").first().getAttribute("data-key"), "seeded-00099"),
  );
  assert.match(page.url(), /search=user-99&sort=-connectedAt$/);
  await page.reload();
  await eventually(async () => assert.equal(await page.textContent(".total"), "89"));
  await page.fill('input[type="search"]', "no such user");
  await page.waitForSelector(".window .none:not([hidden])");
});

step("a hostile name is text", async () => {
  await page.fill('input[type="search"]', given.hostile.slice(0, 20));
  const row = page.locator(`.window tr[data-key="${given.connection}"]`);
  await row.waitFor();
  assert.match(await row.textContent(), /^<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator("main img").count(), 0);
});

step("a client is inspected, and disconnected after a question", async () => {
  await page.click(`.window tr[data-key="${given.connection}"] a`);
  await heading(page, "Connection");
  await eventually(async () => assert.match(await page.textContent(".facts"), /chat:lounge/));
  await checkLooks(page, browser, folder, "connection");
  await page.click('.page-head button:has-text("Disconnect")');
  await dialog(page, "Cancel");
  assert.equal((await ask(`/connections/${given.connection}`)).id, given.connection);
  await page.click('.page-head button:has-text("Disconnect")');
  await watch.during(/404/, async () => {
    await dialog(page, "Disconnect");
    await page.waitForSelector("text=There is no such connection, or it has ended.");
    await openView(page, "connections", "Connections");
  });
});

step("the focus returns to the button of a question though its row was drawn anew meanwhile", () =>
  focusReturns({ page, given }),
);
step("an address that names no view shows the overview", () => noSuchView({ page, given }));

step(
  "a channel shows members and history as text, with unseen marks spelled out; a member is kicked with a reason",
  async () => {
    await page.goto(address(given.url, "channels", "chat:lounge"));
    await heading(page, "Channel chat:lounge");
    await eventually(async () =>
      assert.match(
        await page.textContent(".history"),
        /posted from ada.*<img src=x onerror=alert\(1\)>\\u202egnp\.exe/s,
      ),
    );
    await eventually(async () => assert.ok((await rowsOf(page, "Members")).some(([user]) => user === "ada")));
    await checkLooks(page, browser, folder, "channel");
    await page.click('button:has-text("Kick ada")');
    await page.fill("#kick-reason", "too loud");
    await dialog(page, "Kick");
    await eventually(async () => assert.ok(!(await rowsOf(page, "Members")).some(([user]) => user === "ada")));
    assert.equal(await page.locator("main img").count(), 0);
  },
);

step("a room is closed after a question", async () => {
  await page.goto(address(given.url, "channels", given.room));
  await page.click('.page-head button:has-text("Close room")');
  await dialog(page, "Close the room");
  await eventually(async () => assert.match(await page.textContent("main"), /closed since/));
});

step("a live query shows its strategy, and how PostgreSQL would read it", async () => {
  await openView(page, "queries", "Live queries");
  await page.click('.window a:has-text("dashboard_notes")');
  await heading(page, "Live query");
  await eventually(async () => assert.match(await page.textContent(".facts"), /re-read/));
  await page.click('button:has-text("Explain")');
  await eventually(async () => assert.match(await page.textContent(".explained"), /group by.*cost=/is));
  await checkLooks(page, browser, folder, "query");
});

step("slots are shown with their lag and what they keep", async () => {
  await openView(page, "slots", "Slots");
  const own = (await ask("/slots")).slots.filter((slot) => slot.own).map(({ slot }) => slot);
  await eventually(async () =>
    assert.deepEqual(
      (await rowsOf(page, "Slots of the nodes")).map(([slot]) => slot),
      own,
    ),
  );
});

step("alerts are shown, open and past, and a rule is edited", async () => {
  await openView(page, "alerts", "Alerts");
  await eventually(async () => assert.equal((await rowsOf(page, "Past alerts"))[0][0], "slow_delivery"));
  await eventually(async () => assert.equal(await page.textContent("#open-alerts"), "1 open"));
  await page.click('button:has-text("Edit slow_delivery")');
  await page.fill("#rule-threshold", "2.5");
  await page.fill("#rule-clear-at", "7");
  await watch.during(/4\d\d/, async () => {
    await page.click('dialog button:has-text("Save")');
    await page.waitForSelector("dialog .problem:not([hidden])"); // above the threshold: the server refuses it
  });
  await page.fill("#rule-clear-at", "1.25");
  await page.uncheck("#rule-enabled");
  await dialog(page, "Save");
  const edited = async () => (await rowsOf(page, "Rules")).find(([rule]) => rule === "slow_delivery").join(" ");
  await eventually(async () => assert.match(await edited(), /2\.5 s.*1\.25 s.*off/));
});

step("analytics are plots with values for the pointer and for keys, and tables", async () => {
  const page = await context.newPage();
  watch.look(page);
  await page.clock.setFixedTime(given.seeded); // the hour may have turned since
  await watch.during(/401/, async () => {
    await page.goto(address(given.url, "overview"));
    await signIn(page, given.key);
    await heading(page, "Overview");
  });
  await openView(page, "analytics", "Analytics");
  const { messages } = await ask("/analytics/summary?bucket=hour");
  assert.ok(messages > 0);
  const block = page.getByRole("region", { name: "Messages published", exact: true });
  await eventually(async () => assert.equal(await block.locator(".plot-bars rect").count(), 24));
  const readout = block.locator(".readout");
  const newest = await readout.textContent();
  await block.locator(".plot-drawing").focus();
  await page.keyboard.press("ArrowLeft");
  assert.match(await readout.textContent(), /\d\d:00 UTC: 801$/);
  await page.keyboard.press("Home");
  assert.match(await readout.textContent(), /\d\d:00 UTC: 823$/);
  await block.locator(".plot-bars rect").nth(20).hover();
  assert.match(await readout.textContent(), /\d\d:00 UTC: 803$/);
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(0, 0);
  assert.equal(await readout.textContent(), newest);
  await block.getByRole("button", { name: "Table" }).click();
  const rows = await rowsOf(page, "Messages published as a table");
  assert.deepEqual([rows.length, rows[1][1], rows[23][1]], [24, "801", "823"]);
  assert.deepEqual((await rowsOf(page, "Popular channels"))[0].slice(0, 2), ["chat:lounge", "10,000"]);
  assert.equal((await rowsOf(page, "Countries"))[0].join(" "), "Austria 30");
  await page.selectOption(".page-head select", "week");
  await eventually(async () => assert.equal(await page.locator(".plot-bars").first().locator("rect").count(), 168));
  await openView(page, "analytics", "Analytics");
  await checkLooks(page, browser, folder, "analytics");
  await page.close();
});

for (const [name, title] of [
  ["overview", "Overview"],
  ["connections", "Connections"],
  ["channels", "Channels"],
  ["queries", "Live queries"],
  ["slots", "Slots"],
  ["alerts", "Alerts"],
]) {
  step(`${title}: axe finds nothing, in light on a desktop and in dark on a phone`, async () => {
    await openView(page, name, title);
    await checkLooks(page, browser, folder, name);
  });
}

step("all pages are reached with the keyboard, and the focus is always seen", async () => {
  await openView(page, "overview", "Overview");
  await page.reload(); // the first key begins at the top
  await heading(page, "Overview");
  const reached = [];
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.textContent.trim()));
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", reached.at(-1));
  }
  assert.deepEqual(reached.slice(0, 3), ["Skip to the content", "Sign out", ""]);
  await page.locator('nav a:has-text("Slots")').focus();
  await page.keyboard.press("Enter");
  await heading(page, "Slots");
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
  await page.locator("#skip").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await heading(page, "Slots");
});

step("the colours are the system's until they are chosen", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  assert.deepEqual(await changeColours(page), [], "where motion is reduced, they change at once");
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "dark");
  await page.reload();
  await heading(page, "Slots");
  assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "dark");
});

step("a server that is away is shown as away, and is asked until it answers", async () => {
  await watch.during(/ERR_INTERNET_DISCONNECTED|Failed to fetch/, async () => {
    await context.setOffline(true);
    await page.waitForSelector('#connection[data-state="waiting"]');
    assert.ok((await rowsOf(page, "Slots of the nodes")).length > 0, "what was known is still shown");
    await context.setOffline(false);
    await page.waitForSelector('#connection[data-state="connected"]');
  });
});

step("a server that hangs is shown as away before a request times out, and a key that it refuses is forgotten", () =>
  hangsThenRefuses({ context, watch, given }),
);

step("a page that is hidden asks nothing, and asks at once when it is shown again", async () => {
  let asked = 0;
  page.on("request", (request) => request.url().includes("/realtime/slots") && asked++);
  const hide = (hidden) =>
    page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await eventually(async () => assert.ok(asked > 0));
  await hide(true);
  const rounds = await context.newPage(); // another page of the same server lives through two rounds meanwhile
  let others = 0;
  rounds.on("request", (request) => request.url().includes("/realtime/slots") && others++);
  await rounds.goto(address(given.url, "slots"));
  await signIn(rounds, given.key);
  const before = asked;
  await eventually(async () => assert.ok(others > 2));
  assert.ok(asked - before <= 1, `${asked - before} requests while hidden`); // one that was on its way
  await rounds.close();
  await hide(false);
  await eventually(async () => assert.ok(asked > before));
});

step("signing out forgets the key", async () => {
  await page.click("#sign-out");
  await page.waitForSelector(".sign-in");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  assert.equal(await page.locator("#pages").isVisible(), false);
  await watch.during(/401/, async () => {
    await page.reload();
    await page.waitForSelector(".sign-in");
  });
  await checkLooks(page, browser, folder, "sign-in");
});

let failed = false;
for (const { name, run } of steps) {
  const started = performance.now();
  try {
    await run();
    console.log(`ok - ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    failed = true;
    console.log(`not ok - ${name}\n${error.stack ?? error}`);
    await page.screenshot({ path: `${folder}/failed.png` });
    break;
  }
}
if (watch.complaints.length) {
  failed = true;
  console.log(`not ok - the console has complaints\n${watch.complaints.join("\n")}`);
}
await browser.close();
process.exit(failed ? 1 : 0);
