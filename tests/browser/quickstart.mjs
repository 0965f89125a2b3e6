// The page of the quickstart in two windows: node quickstart.mjs URL. What one writes, and what SQL writes, both show.

import assert from "node:assert/strict";

import { eventually } from "../support/eventually.mjs";
import { launch, watch } from "./launch.mjs";
import { violations } from "./looks.mjs";

const [url] = process.argv.slice(2);
await eventually(async () => assert.ok((await fetch(url)).ok));
const browser = await launch();
const errors = [];
try {
  const windows = [];
  while (windows.length < 2) {
    const page = await browser.newPage();
    watch(page, errors);
    await page.goto(url);
    await page.locator("#state", { hasText: "open" }).waitFor();
    windows.push(page);
  }
  const [one, two] = windows;
  await one.getByRole("textbox").fill("Buy <b>tea</b>");
  await one.getByRole("button", { name: "Add" }).click();
  for (const page of windows) await page.locator("li", { hasText: "Buy <b>tea</b>" }).waitFor();
  await two.getByRole("checkbox").check();
  await one.locator("input:checked").waitFor();
  assert.deepEqual(await violations(one, { strict: false }), []);
  console.log("RUN SQL");
  for (const page of windows) {
    await page.locator("li", { hasText: "Water the plants" }).locator("input:checked").waitFor();
    assert.deepEqual(await page.locator("li").allTextContents(), [" Buy <b>tea</b>", " Water the plants"]);
  }
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
}
