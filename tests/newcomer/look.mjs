// The application of a page about a framework: node look.mjs URL. It connects, shows the messages of the demo and who is there, and
// counts a wave that it sends; nothing is wrong in its console.

import assert from "node:assert/strict";

import { launch } from "../browser/launch.mjs";

const browser = await launch();
const errors = [];
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(process.argv[2]);
  await page.locator("#state", { hasText: "open" }).waitFor();
  await page.locator("li").first().waitFor();
  await page.locator("#present", { hasText: "1 here" }).waitFor();
  await page.getByRole("button", { name: "Wave (0)" }).click();
  await page.getByRole("button", { name: "Wave (1)" }).waitFor();
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
}
