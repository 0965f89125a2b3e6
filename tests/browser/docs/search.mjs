// The documentation opened from disk: node search.mjs INDEX. Its search finds pages, names are shown as they are written and not
// broken in two, and nothing is loaded from elsewhere.

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

import { eventually } from "../../support/eventually.mjs";
import { launch } from "../pages.mjs";

// What users look for first, and the page that has it: among the first five that the search finds.
const SEARCHES = {
  "replication slots": "operations/replication-slots.html",
  pagination: "guides/live-queries.html",
  cursor: "guides/live-queries.html",
  count: "guides/live-queries.html",
  react: "sdk/react.html",
  vue: "sdk/vue.html",
  svelte: "sdk/svelte.html",
  tanstack: "sdk/tanstack-db.html",
  "next.js": "frameworks/nextjs.html",
  optimistic: "guides/writing.html",
  uninstall: "operations.html",
  RDS: "operations/providers.html",
  kubernetes: "operations/kubernetes.html",
  monitoring: "operations/deployment.html",
  prometheus: "operations/metrics.html",
  troubleshooting: "guides/troubleshooting.html",
  supabase: "guides/comparison.html",
  django: "frameworks/django.html",
  fastapi: "frameworks/fastapi.html",
  flask: "frameworks/flask.html",
  "react native": "frameworks/react-native.html",
  rails: "guides/backends.html",
};

const browser = await launch();
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("request", (request) => request.url().startsWith("file:") || complaints.push(`asked for ${request.url()}`));
  page.on("requestfailed", (request) => complaints.push(`no ${request.url()}`));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(pathToFileURL(process.argv[2]).href);
  const site = new URL(".", pathToFileURL(process.argv[2])).href;
  const results = page.locator(".md-search-result__item > a:first-child");
  for (const [words, target] of Object.entries(SEARCHES)) {
    await page.click("input.md-search__input");
    await page.fill("input.md-search__input", words.slice(0, -1));
    await page.keyboard.type(words.at(-1)); // with each key the site searches
    await eventually(async () => {
      const found = await results.evaluateAll((links) => links.map((link) => link.href.split(/[?#]/)[0]));
      assert.ok(found.slice(0, 5).includes(site + target), `${words}: ${found}`);
    });
  }
  await page.goto(new URL("sdk/js-reference.html", pathToFileURL(process.argv[2])).href);
  assert.match(await page.locator("h5#getpresence").innerText(), /^getPresence\(\)/);
  await page.goto(new URL("operations/metrics.html", pathToFileURL(process.argv[2])).href);
  const lines = (names) => names.map((name) => name.getClientRects().length);
  assert.deepEqual(new Set(await page.locator("td:first-child code").evaluateAll(lines)), new Set([1]));
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
