// The application of the page about Next.js: node next.mjs URL. Its server renders the rows of now, and the browser follows them.
// `RUN TITLE` asks for a row.

import assert from "node:assert/strict";

import { launch } from "../browser/launch.mjs";
import { eventually } from "../support/eventually.mjs";

const url = process.argv[2];
console.log("RUN Tea");
await eventually(async () => assert.match(await (await fetch(url)).text(), /<li>Tea<\/li>/));
const browser = await launch();
const errors = [];
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(url);
  await page.locator("li", { hasText: "Tea" }).waitFor();
  console.log("RUN Milk");
  await page.locator("li", { hasText: "Milk" }).waitFor();
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
}
