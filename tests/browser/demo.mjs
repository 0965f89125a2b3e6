// The demo page as visitors use it, in a real browser: node demo.mjs URL FOLDER
// Screenshots go to FOLDER. The line "KILL SERVER" asks the parent process to kill the server, write to the database,
// and start the server again; the answer is one line on standard input.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { appearances } from "./appearances.mjs";
import { BROWSER } from "./launch.mjs";
import { eventually } from "../support/eventually.mjs";
import {
  chatOf,
  Complaints,
  launch,
  open,
  ready,
  sameAggregates,
  sameChat,
  sameMessages,
  sameOrders,
  post,
  shownChat,
  shownMessages,
  sql,
  tryToType,
  type,
} from "./pages.mjs";

const [url, folder] = process.argv.slice(2);
const complaints = new Complaints();
const browser = await launch();
const here = await open(browser, url, complaints);
const there = await open(browser, url, complaints);
const both = [here, there];
const steps = [];
const step = (name, run) => steps.push({ name, run });
/** What is the same in every browser, or what WebDriver BiDi cannot ask of Firefox (media features): tried in Chromium. */
const once = (name, run) => BROWSER === "chromium" && step(name, run);
const row = (page, id) => page.locator(`#message-list > li[data-id="${id}"]`);
const first = async (page) => (await shownMessages(page))[0];

step("both pages show what the queries give", async () => {
  for (const page of both) {
    await sameMessages(page, url);
    await sameOrders(page, url);
    await sameAggregates(page, url);
    assert.equal(await page.textContent('[data-panel="messages"] .badge'), "incremental");
    assert.equal(await page.textContent('[data-panel="orders"] .badge'), "incremental");
    assert.equal(await page.textContent('[data-panel="regions"] .badge'), "re-read");
    assert.match(await page.getAttribute('[data-panel="regions"] .badge', "data-tip"), /Why: .*GROUP BY/);
  }
});

step("an INSERT in the SQL box is on top of both lists, and markup in it is only text", async () => {
  const body = "<img src=x onerror=alert(1)> & 'quoted' — ünïcödé";
  await type(
    here,
    `insert into messages (room_id, author, body) values ('general', 'psql', '${body.replaceAll("'", "''")}')`,
  );
  for (const page of both) {
    await eventually(async () => assert.deepEqual((await first(page)).slice(1, 3), ["psql", body]));
    await sameMessages(page, url);
    assert.equal(await page.locator("#message-list img").count(), 0);
  }
  assert.match(await here.textContent("#result"), /^1 row inserted, committed\./);
});

step("the time from commit to paint is shown for what this page wrote, and only there", async () => {
  await eventually(async () => assert.match(await here.textContent("#latency"), /^(< )?[\d.]+ m?s$/));
  await eventually(async () => assert.match(await here.textContent("#result"), /On screen after.*Messages .*\d ms/));
  assert.equal(await there.textContent("#latency"), "–");
});

step("a message that is sent, edited and liked with buttons changes everywhere", async () => {
  await there.fill("#message", "Sent with the button");
  await there.press("#message", "Enter");
  await eventually(async () => assert.equal((await first(here))[2], "Sent with the button"));
  const [id] = await first(here);
  await row(here, id).hover();
  await row(here, id).getByTitle("Edit").click();
  await here.keyboard.type("Edited in place");
  await here.keyboard.press("Control+Enter");
  await eventually(async () => assert.equal((await first(there))[2], "Edited in place"));
  await row(there, id).getByTitle("Like").click();
  for (const page of both) {
    await eventually(async () => assert.equal((await first(page))[3], "1"));
    await sameMessages(page, url);
  }
});

once("likes reorder a list that is ordered by likes", async () => {
  const order = { order: "likes desc, created_at desc" };
  await here.selectOption("#message-order", "liked");
  await sameMessages(here, url, order);
  const [[best, , , likes], [second, , , fewer]] = await shownMessages(here);
  await type(here, `update messages set likes = ${likes} where id = ${second}`);
  await sameMessages(here, url, order);
  const runnerUp = (await shownMessages(here))[1][0];
  await row(here, runnerUp).getByTitle("Like").click();
  await eventually(async () => assert.equal((await first(here))[0], runnerUp));
  await sameMessages(here, url, order);
  assert.ok([best, second].includes(runnerUp), `${runnerUp} overtook ${best} and ${second} (${fewer})`);
  await here.selectOption("#message-order", "newest");
  for (const page of both) await sameMessages(page, url);
});

once("a deleted message leaves, and the next one takes its place", async () => {
  const [id] = await first(there);
  await row(there, id).hover();
  await row(there, id).getByTitle("Delete").click();
  for (const page of both) {
    await row(page, id).waitFor({ state: "detached" });
    await sameMessages(page, url);
  }
  assert.equal((await shownMessages(here)).length, 20);
});

once("older messages are loaded page by page, without a gap, and stay right while rows come and go", async () => {
  for (const limit of [40, 60]) {
    await here.click("#older");
    await sameMessages(here, url, { limit });
  }
  const ids = (await shownMessages(here)).map(([id]) => id);
  await sql(url, "insert into messages (room_id, author, body) values ('general', 'psql', 'On top of three pages')");
  await sameMessages(here, url, { limit: 60 });
  await sql(url, `delete from messages where id in (${ids[10]}, ${ids[25]})`);
  await sameMessages(here, url, { limit: 60 });
  await sql(url, `update messages set created_at = now() where id = ${ids[45]}`);
  await sameMessages(here, url, { limit: 60 });
  assert.deepEqual((await first(here))[0], ids[45]);
});

once("another room is another query", async () => {
  await there.check('input[name="room"][value="support"]', { force: true });
  await sameMessages(there, url, { room: "support" });
  await sql(
    url,
    "update messages set room_id = 'support', created_at = now() where id = (select max(id) from messages)",
  );
  await sameMessages(there, url, { room: "support" });
  await there.check('input[name="room"][value="general"]', { force: true });
  await here.reload();
  await ready(here);
  for (const page of both) await sameMessages(page, url);
});

once("a transaction that is rolled back changes nothing and sends nothing", async () => {
  const before = await there.textContent("#events");
  await here.click('.chip:has-text("Roll back")');
  await here.press("#statement", "Control+Enter");
  await eventually(async () => assert.match(await here.textContent("#result"), /^Rolled back\. Nothing was changed/));
  // What comes next arrives after anything the rollback could have sent: exactly one event, for this list.
  await type(
    here,
    "update messages set body = body || '!' where id = (select max(id) from messages where room_id = 'general')",
  );
  for (const page of both) await sameMessages(page, url);
  assert.equal(Number(await there.textContent("#events")), Number(before) + 1);
});

once("aggregates, best sellers and filtered orders follow the orders", async () => {
  await here.selectOption('select[name="status"]', "pending");
  await here.selectOption('select[name="region"]', "North");
  await here.selectOption('select[name="order"]', "createdAt");
  await here.selectOption('select[name="limit"]', "5");
  const filtered = { where: "status = 'pending' and region = 'North'", order: "created_at desc", limit: 5 };
  await sameOrders(here, url, filtered);
  await here.click('.chip:has-text("New order")');
  await here.click("#run");
  await sql(
    url,
    "insert into orders (product_id, customer, region, status, amount) values (3, 'Late guest', 'North', 'pending', 9.5)",
  );
  await sql(
    url,
    "update orders set status = 'refunded' where id = (select max(id) from orders where status = 'pending' and id < 800)",
  );
  await sameOrders(here, url, filtered);
  await here.click('.chip:has-text("Raise prices")');
  await here.click("#run");
  await here.click('.chip:has-text("1,000 orders")');
  await here.click("#run");
  await eventually(async () => assert.match(await here.textContent("#result"), /^1,000 rows inserted/));
  for (const page of both) await sameAggregates(page, url);
  await sameOrders(here, url, filtered);
  await sameOrders(there, url);
});

once("a filter without rows reports it", async () => {
  await sql(url, "delete from orders where status = 'pending' and region = 'South'");
  await there.selectOption('select[name="status"]', "pending");
  await there.selectOption('select[name="region"]', "South");
  await there.waitForSelector('#orders .empty:has-text("No order matches")');
  await there.selectOption('select[name="status"]', "");
  await there.selectOption('select[name="region"]', "");
  await sameOrders(there, url);
});

once("an error is shown in plain words", async () => {
  await type(here, "select\n  wrong from messages");
  assert.match(await here.textContent("#result"), /column "wrong" does not exist.*Line 2\. Nothing was changed\./s);
  await type(here, "select body from messages limit 3");
  assert.equal(await here.locator("#result-table tbody tr").count(), 3);
});

once("after a storm of writes from everywhere all lists are what Postgres reports", async () => {
  const any = (n) => Math.floor(Math.random() * n);
  const writes = [
    () => `insert into messages (room_id, author, body, likes) values ('general', 'storm', 'n${any(1e6)}', ${any(30)})`,
    () => `update messages set likes = ${any(40)} where id % 97 = ${any(97)}`,
    () => `update messages set created_at = now() - interval '${any(500)} minutes' where id % 50 = ${any(50)}`,
    () => `update messages set room_id = '${["general", "support"][any(2)]}' where id % 40 = ${any(40)}`,
    () => `delete from messages where id % 90 = ${any(90)}`,
    () => `update orders set amount = amount + ${any(9)}, status = 'paid' where id % 70 = ${any(70)}`,
    () => `delete from orders where id % 200 = ${any(200)}`,
  ];
  await here.click("#older");
  await here.selectOption('select[name="status"]', "paid");
  for (let round = 0; round < 12; round++)
    await Promise.all(Array.from({ length: 6 }, () => sql(url, writes[any(writes.length)]())));
  const shown = (await shownMessages(there)).length;
  assert.equal(shown, 20);
  await sameMessages(there, url);
  await sameMessages(here, url, { limit: 40 });
  for (const page of both) await sameAggregates(page, url);
  await sameOrders(there, url);
});

step("two tabs talk in the chat, each sees who is there and who is typing, and SQL can join in", async () => {
  const names = [];
  for (const page of both) names.push((await chatOf(page)).replace("Write as ", ""));
  for (const page of both)
    await eventually(async () => assert.equal(await page.textContent("#chat-count"), "2 people here"));
  await there.locator("#chat-message").pressSequentially("Hel");
  await eventually(async () => assert.equal(await here.textContent("#chat-typing"), `${names[1]} is typing`));
  await post(there, "Hello <b>here</b>");
  await eventually(async () => assert.deepEqual((await shownChat(here)).at(-1), [names[1], "Hello <b>here</b>"]));
  await eventually(async () => assert.equal(await here.textContent("#chat-typing"), ""));
  await post(here, "Hello there");
  await here.click('.chip:has-text("Broadcast to chat")');
  await here.click("#run");
  await eventually(async () => assert.deepEqual((await shownChat(there)).at(-1), ["Postgres", "Hello from plain SQL"]));
  for (const page of both) await sameChat(page, url);
  assert.equal(await there.locator(".chat-message.sending").count(), 0);
  await sql(url, "insert into messages (room_id, author, body) values ('general', 'psql', 'Behind the chat')");
  for (const page of both) await page.waitForSelector('.views [data-view="messages"] .dot:not([hidden])');
});

once("who comes later reads what was posted, and who leaves is gone", async () => {
  const late = await open(browser, url, complaints);
  await sameChat(late, url);
  assert.ok(await late.locator('.views [data-view="chat"] .dot').isHidden());
  await eventually(async () => assert.equal(await here.textContent("#chat-count"), "3 people here"));
  await late.context().close();
  await eventually(async () => assert.equal(await here.textContent("#chat-count"), "2 people here"));
});

step("when the server is killed the page reports it, comes back by itself, and has what it missed", async () => {
  complaints.outage = true;
  const answers = createInterface({ input: process.stdin });
  const restarted = new Promise((resolve) => answers.once("line", resolve));
  console.log("KILL SERVER");
  await here.waitForSelector('#connection[data-state="waiting"]');
  assert.match(await here.textContent("#connection"), /Reconnecting/);
  await tryToType(here, "select 1");
  await restarted;
  answers.close();
  for (const page of both) {
    await page.waitForSelector('#connection[data-state="connected"]', { timeout: 60_000 });
    await eventually(async () => assert.equal((await first(page))[2], "Written while the server was dead"));
    await sameAggregates(page, url);
  }
  await sameMessages(there, url);
  await sameOrders(there, url);
  for (const page of both) await sameChat(page, url);
  await post(there, "Still here");
  for (const page of both) await sameChat(page, url);
  complaints.outage = false;
  await type(here, "insert into messages (room_id, author, body) values ('general', 'psql', 'Alive again')");
  for (const page of both) await eventually(async () => assert.equal((await first(page))[2], "Alive again"));
});

once("the chosen theme is remembered, and the system's is followed until then", async () => {
  const theme = () => here.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  await here.emulateMedia({ colorScheme: "dark" });
  assert.equal(await theme(), "dark");
  await here.click("#theme");
  assert.equal(await theme(), "light");
  await here.reload();
  assert.equal(await theme(), "light");
  await ready(here);
});

step("everything can be reached and used with the keyboard", async () => {
  const page = await open(browser, url, complaints); // in Firefox only the newest window has the focus
  await page.evaluate(() => document.activeElement?.blur());
  const reached = new Set();
  for (let i = 0; i < 200 && !(reached.has("statement") && reached.has("run")); i++) {
    await page.keyboard.press("Tab");
    const { id, ring } = await page.evaluate(() => {
      const element = document.activeElement;
      const shown = element.matches('[type="radio"]') ? element.nextElementSibling : element;
      return {
        id: element.id || element.className,
        ring: element === document.body || getComputedStyle(shown).outlineStyle !== "none",
      };
    });
    assert.ok(ring, `no focus ring on ${id}`);
    reached.add(id);
  }
  for (const id of ["theme", "message", "message-order", "statement", "run"])
    assert.ok(reached.has(id), `${id} is not reached`);
  await page.focus("#days .plot-drawing");
  const today = await page.textContent("#day-readout");
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await page.textContent("#day-readout"), today);
  await page.context().close();
});

once("a reset puts everything back", async () => {
  await here.click('.chip:has-text("Reset everything")');
  await here.click("#run");
  await eventually(async () =>
    assert.match(await here.textContent("#result-table"), /336 messages, 24 products, 860 orders/),
  );
  for (const page of both) await sameAggregates(page, url);
  await sameMessages(there, url);
  await sameOrders(there, url);
});

for (const { name, run } of appearances(browser, url, complaints, folder)) once(name, run);

let failed = false;
for (const { name, run } of steps) {
  try {
    await run();
    console.log(`ok - ${name}`);
  } catch (error) {
    failed = true;
    console.log(`not ok - ${name}\n${error.stack ?? error}`);
    await here.screenshot({ path: `${folder}/failed.png` });
    break;
  }
}
if (complaints.list.length) {
  failed = true;
  console.log(`not ok - the console has complaints\n${complaints.list.join("\n")}`);
}
await browser.close();
process.exit(failed ? 1 : 0);
