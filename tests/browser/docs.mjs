// The documentation opened from disk: node docs.mjs INDEX. Its search finds pages, names are shown as they are written and not
// broken in two, and nothing is loaded from elsewhere.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

import { launch } from "./pages.mjs";

const browser = await launch();
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("request", (request) => request.url().startsWith("file:") || complaints.push(`asked for ${request.url()}`));
  page.on("requestfailed", (request) => complaints.push(`no ${request.url()}`));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(pathToFileURL(process.argv[2]).href);
  await page.click("input.md-search__input");
  await page.keyboard.type("replication slots");
  await page.waitForSelector('.md-search-result__item a[href*="operations/replication-slots.html"]', {
    timeout: 60_000,
  });
  await page.goto(new URL("sdk/js-reference.html", pathToFileURL(process.argv[2])).href);
  assert.match(await page.locator("h5#getpresence").innerText(), /^getPresence\(\)/);
  await page.goto(new URL("operations/metrics.html", pathToFileURL(process.argv[2])).href);
  const lines = (names) => names.map((name) => name.getClientRects().length);
  assert.deepEqual(new Set(await page.locator("td:first-child code").evaluateAll(lines)), new Set([1]));
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
