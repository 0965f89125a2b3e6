// The application of a page about a framework in two windows: node back_end.mjs NAME URL. Users sign in as the page has it. `RUN row`
// asks for a row by SQL: both windows show it. The button in one of them changes it in both, and both get the message.

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { launch, watch } from "../launch.mjs";
import { violations } from "../looks.mjs";

/** How Ada signs in, where she has to. */
const SIGN_IN = {
  async flask(page) {
    await page.getByLabel("User").fill("ada");
    await page.getByRole("button", { name: "Sign in" }).click();
  },
  async django(page) {
    await page.getByLabel("Username").fill("ada");
    await page.getByLabel("Password").fill("tea");
    await page.getByRole("button", { name: "Log in" }).click();
  },
};

const [name, url] = process.argv.slice(2);
await eventually(async () => assert.ok((await fetch(url)).ok));
const browser = await launch();
const errors = [];
try {
  const windows = [];
  while (windows.length < 2) {
    const page = await (await browser.newContext()).newPage();
    await page.goto(url);
    await SIGN_IN[name]?.(page);
    watch(page, errors); // before a user has signed in, there is no token
    windows.push(page);
  }
  console.log("RUN row");
  for (const page of windows) await page.locator("li", { hasText: /^Water the plants$/ }).waitFor();
  await windows[0].getByRole("button", { name: "All done" }).click();
  for (const page of windows) {
    await page.locator("li", { hasText: /^Water the plants ✓$/ }).waitFor();
    await page.locator("#news", { hasText: "Done by ada" }).waitFor();
  }
  await windows[0].locator("button:enabled", { hasText: "All done" }).waitFor();
  assert.deepEqual(await violations(windows[0], { strict: false }), []);
  if (process.env.PICTURE) await windows[0].screenshot({ path: process.env.PICTURE });
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
}
