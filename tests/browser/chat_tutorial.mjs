// The chat of the tutorial in three tabs: node chat_tutorial.mjs URL FOLDER. `RUN joined` asks for the statement of the page that
// lets Eve in, and so on; FOLDER gets screenshots.

import assert from "node:assert/strict";

import { eventually } from "../support/eventually.mjs";
import { checkLooks } from "./dashboard/operator.mjs";
import { launch, watch } from "./launch.mjs";

const [url, folder] = process.argv.slice(2);
await eventually(async () => assert.ok((await fetch(url)).ok));
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 660, height: 460 } }); // one for all: tabs, not profiles
const errors = [];

async function tab(name) {
  const page = await context.newPage();
  watch(page, errors);
  await page.goto(url);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Sign in" }).click();
  return page;
}

const shows = (page, selector, expected) =>
  eventually(async () => assert.deepEqual(await page.locator(selector).allTextContents(), expected));
const here = (page, expected) =>
  eventually(async () => assert.deepEqual((await page.locator("header li").allTextContents()).sort(), expected));
const texts = "ol li p";

async function send(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
  await page.locator(texts, { hasText: text }).waitFor();
  await eventually(async () => assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), ""));
}

try {
  // Who is here, who types, who has read what.
  const ada = await tab("ada");
  const grace = await tab("grace");
  for (const page of [ada, grace]) await here(page, ["ada", "grace"]);
  await send(ada, "Hello Grace, is the kettle on?");
  await grace.getByLabel("Message", { exact: true }).pressSequentially("Hel");
  await shows(ada, "header p", ["grace typing …"]);
  await send(grace, "Hello Ada, it is.");
  for (const page of [ada, grace]) {
    await shows(page, texts, ["Hello Grace, is the kettle on?", "Hello Ada, it is."]);
    await shows(page, "header p", [""]);
  }
  await shows(grace, "ol small", ["", "Read by ada"]);
  await send(ada, "I bring Earl Grey.");
  await shows(ada, "ol small", ["", "", "Read by grace"]);
  await grace.getByLabel("Message", { exact: true }).pressSequentially("And");
  await shows(ada, "header p", ["grace typing …"]);
  await ada.screenshot({ path: `${folder}/tutorial-chat.png` });
  await checkLooks(ada, browser, folder, "chat");

  // History after a reload, and older pages of it.
  for (let number = 1; number <= 20; number++) await send(ada, `Tea no. ${number} <of> 20`);
  await grace.reload();
  await shows(
    grace,
    texts,
    Array.from({ length: 20 }, (_, index) => `Tea no. ${index + 1} <of> 20`),
  );
  await grace.getByRole("button", { name: "Older messages" }).click();
  await eventually(async () => assert.equal(await grace.locator(texts).count(), 23));
  assert.equal(await grace.locator(texts).first().textContent(), "Hello Grace, is the kettle on?");
  assert.equal(await grace.getByRole("button", { name: "Older messages" }).count(), 0);

  // What SQL publishes.
  console.log("RUN broadcast");
  for (const page of [ada, grace]) await page.locator(texts, { hasText: "Tea is ready." }).waitFor();

  // Who may join.
  const eve = await tab("eve");
  const refusal = eve.getByRole("alert").filter({ hasText: "you may not subscribe to 'chat:lounge'" });
  await refusal.waitFor();
  console.log("RUN joined");
  await eventually(async () => {
    await eve.reload();
    await eve.locator(texts, { hasText: "Tea is ready." }).waitFor({ timeout: 3000 });
  });
  for (const page of [ada, grace, eve]) await here(page, ["ada", "eve", "grace"]);
  console.log("RUN removed");
  await refusal.waitFor();
  for (const page of [ada, grace]) await here(page, ["ada", "grace"]);
  const ofRule = (text) => text.startsWith("[bunbase] RT_003 chat:lounge: you may not subscribe"); // before, and at the end
  assert.deepEqual([errors.filter(ofRule).length > 1, errors.filter((text) => !ofRule(text))], [true, []]);

  // A server that is away for a while.
  if (process.env.RESTARTS) {
    console.log("RUN stop");
    await shows(ada, "output", ["offline"]);
    console.log("RUN start");
    for (const page of [ada, grace]) await shows(page, "output", ["open"]);
    await send(ada, "Back again.");
    await grace.locator(texts, { hasText: "Back again." }).waitFor();
  }
} catch (error) {
  console.log(errors);
  for (const [index, page] of context.pages().entries())
    await page.screenshot({ path: `${folder}/failed-${index}.png` });
  throw error;
} finally {
  await browser.close();
}
