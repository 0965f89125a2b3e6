// The application of the page about a framework, as it is written there, in Chromium against a server. ADAPTER has the package's name.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "../../../browser/launch.mjs";
import { bundled, readmeBundled } from "../framework_pages.mjs";
import { NetworkGate } from "./gate.mjs";
import { sql, url } from "./support.mjs";

const { ADAPTER } = process.env;

const README = await readmeBundled(ADAPTER);

let browser;
let gate;
let ofReadme;
/** The application behind the server's address. */
async function served(application) {
  const opened = await NetworkGate.open(
    url,
    '<!doctype html><title>An application</title><div id="root"></div><div id="app"></div><script type="module" src="/app.js"></script>',
  );
  opened.files = { "/app.js": application };
  return opened;
}
before(async () => {
  gate = await served(await bundled(ADAPTER));
  ofReadme = README && (await served(README));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  gate?.close();
  ofReadme?.close();
});

test("rows, users and messages are shown and kept up to date on two pages", async () => {
  await sql("insert into messages (room_id, body) values ('general', 'first'), ('other', 'elsewhere')");
  const errors = [];
  const pages = [];
  while (pages.length < 2) {
    const page = await (await browser.newContext()).newPage();
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
    await page.goto(gate.url);
    await page.locator("#state", { hasText: "open" }).waitFor();
    await page.locator("li", { hasText: "first" }).waitFor();
    pages.push(page);
  }
  const [one, two] = pages;
  await sql("insert into messages (room_id, body) values ('general', 'second')");
  for (const page of pages) {
    await page.locator("li", { hasText: "second" }).waitFor();
    assert.deepEqual(await page.locator("li").allTextContents(), ["second", "first"]);
    await page.locator("#present", { hasText: "2 here" }).waitFor();
  }
  await two.getByRole("button", { name: "Wave (0)" }).waitFor();
  await one.getByRole("button").click();
  for (const page of pages) await page.getByRole("button", { name: "Wave (1)" }).waitFor();
  if (ADAPTER !== "react") {
    await two.getByLabel("Room").fill("other");
    await two.getByLabel("Room").press("Enter");
    await two.locator("li", { hasText: "elsewhere" }).waitFor();
    assert.deepEqual(await two.locator("li").allTextContents(), ["elsewhere"]);
    await one.locator("#present", { hasText: "1 here" }).waitFor();
  }
  assert.deepEqual(errors, []);
});

test("the block of the README shows its query", { skip: !README }, async () => {
  await sql("insert into messages (room_id, body) values ('general', 'of the README'), ('other', 'not asked for')");
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  await page.goto(ofReadme.url);
  await page.locator("ul[id=live] li", { hasText: "of the README" }).waitFor();
  assert.equal(await page.getByText("not asked for").count(), 0);
  assert.deepEqual(errors, []);
});
