// A browser and what the tests read from the demo page: rows as a visitor sees them, and the same rows asked of Postgres.

import assert from "node:assert/strict";

import { eventually } from "../support/eventually.mjs";

export { launch } from "./launch.mjs";

/** Everything that went wrong in a page's console; an outage that a test causes itself is let through. */
export class Complaints {
  list = [];
  outage = false;

  /** What Chromium and Firefox report of a server that is not there, or is starting (503). */
  #expected(text) {
    return (
      this.outage &&
      /ERR_CONNECTION|status of 503|WebSocket connection to|\bws:\/\/|NS_ERROR_CONNECTION_REFUSED/.test(text)
    );
  }

  watch(page) {
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      if (!this.#expected(message.text())) this.list.push(message.text());
    });
    page.on("pageerror", (error) => this.#expected(String(error)) || this.list.push(error.stack ?? String(error)));
  }
}

/** Open the demo page and wait until every panel has its rows. */
export async function open(browser, url, complaints, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  complaints.watch(page);
  await page.goto(url);
  await ready(page);
  return page;
}

export async function ready(page) {
  await page.waitForSelector('#connection[data-state="connected"]');
  await page.waitForFunction(
    () =>
      document.querySelector("#message-list li") &&
      document.querySelectorAll("#orders tbody tr, #products tbody tr, #regions tbody tr").length > 8 &&
      document.querySelector("#tiles dd").textContent !== "–" &&
      (document.querySelector(".plot-bars rect") || !document.querySelector("#days").checkVisibility()),
  );
}

/** Run SQL beside the page, through the same endpoint; rows as text. */
export async function sql(url, statement) {
  const response = await fetch(new URL("/demo/sql", url), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ sql: statement }),
  });
  const answer = await response.json();
  assert.equal(answer.error, undefined, `${statement}: ${answer.error?.message}`);
  return answer.results.at(-1)?.values ?? [];
}

/** Run a statement as a visitor does: type it, press Ctrl+Enter, wait for the answer. */
export async function type(page, statement) {
  await page.fill("#statement", statement);
  const answered = page.waitForResponse("**/demo/sql");
  await page.press("#statement", "Control+Enter");
  return (await answered).json();
}

/** The same where there may be no server: an answer or a failure will do. */
export async function tryToType(page, statement) {
  await page.fill("#statement", statement);
  const asked = (request) => request.url().endsWith("/demo/sql");
  const ended = Promise.race(["requestfinished", "requestfailed"].map((event) => page.waitForEvent(event, asked)));
  await page.press("#statement", "Control+Enter");
  await ended;
}

/** Messages on screen, in order: id, author, text, likes. */
export const shownMessages = (page) =>
  page.$$eval("#message-list > li", (rows) =>
    rows.map((row) => [
      row.dataset.id,
      ...[".author", ".body", ".like .count"].map((part) => row.querySelector(part).textContent),
    ]),
  );

export const storedMessages = (url, { room = "general", order = "created_at desc", limit = 20 } = {}) =>
  sql(
    url,
    `select id, author, body, likes from messages where room_id = '${room}' order by ${order}, id desc limit ${limit}`,
  );

export const sameMessages = (page, url, options) =>
  eventually(async () => assert.deepEqual(await shownMessages(page), await storedMessages(url, options)));

/** What is posted in the chat on screen, in order: author, text. */
export const shownChat = (page) =>
  page.$$eval("#chat-list > li", (rows) =>
    rows.map((row) => [".author", ".body"].map((part) => row.querySelector(part).textContent)),
  );

/** What is posted in the chat as the table has it, in commit order. */
export const storedChat = (url) =>
  sql(
    url,
    "select coalesce(payload ->> 'name', sender, 'SQL'), payload ->> 'text' from realtime.history('chat:lounge', \"limit\" => 50)",
  );

export const sameChat = (page, url) =>
  eventually(async () => assert.deepEqual(await shownChat(page), await storedChat(url)));

/** Orders on screen, in order: id, customer, status, amount. */
export const sameOrders = (page, url, { where = "true", order = "amount desc", limit = 10 } = {}) =>
  eventually(async () => {
    const shown = await page.$$eval("#orders tbody tr:not(.empty)", (rows) =>
      rows.map((row) => [
        row.dataset.id,
        row.cells[1].textContent,
        row.cells[3].textContent,
        row.cells[5].textContent.replace(/[€,]/g, ""),
      ]),
    );
    const stored = await sql(
      url,
      `select id, customer, status, amount from orders where ${where} order by ${order}, id desc limit ${limit}`,
    );
    assert.deepEqual(shown, stored);
  });

const plain = (text) => text.replace(/[€,]| orders?/g, "");

/** Totals, regions, best sellers and the days of the chart are what Postgres computes. */
export const sameAggregates = (page, url) =>
  eventually(async () => {
    const tiles = await page.$$eval("#tiles dd", (values) => values.map((value) => value.textContent));
    const [totals] = await sql(
      url,
      `select round(coalesce(sum(amount) filter (where status <> 'refunded'), 0)), count(*), round(coalesce(avg(amount), 0), 2),
              count(*) filter (where status = 'pending') from orders`,
    );
    assert.deepEqual(tiles.map(plain), totals);

    const regions = await page.$$eval("#regions tbody tr", (rows) =>
      rows.map((row) => [0, 2, 3].map((i) => row.cells[i].textContent)),
    );
    const storedRegions = await sql(
      url,
      "select region, count(*), round(sum(amount)) from orders where status <> 'refunded' group by region order by sum(amount) desc, region",
    );
    assert.deepEqual(
      regions.map((row) => row.map(plain)),
      storedRegions,
    );

    const products = await page.$$eval("#products tbody tr", (rows) =>
      rows.map((row) => [...row.cells].map((cell) => cell.textContent)),
    );
    const storedProducts = await sql(
      url,
      `select p.name, p.price, sum(o.quantity), round(sum(o.amount)) from orders o join products p on p.id = o.product_id
       where o.status <> 'refunded' group by p.id order by sum(o.amount) desc, p.id limit 6`,
    );
    assert.deepEqual(
      products.map(([name, ...numbers]) => [name, ...numbers.map(plain)]),
      storedProducts,
    );

    const [[days]] = await sql(
      url,
      "select least(60, count(distinct (created_at at time zone 'UTC')::date)) from orders where status <> 'refunded'",
    );
    assert.equal(await page.locator(".plot-bars rect").count(), Number(days));
  });

/** Opens the chat; returns the placeholder of its box, which names the writer. */
export const chatOf = async (page) => {
  await page.click('.views [data-view="chat"]');
  return page.getAttribute("#chat-message", "placeholder");
};
export const post = async (page, text) => {
  await page.fill("#chat-message", text);
  await page.press("#chat-message", "Enter");
};
