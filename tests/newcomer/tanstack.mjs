// The application of the page about TanStack DB: node tanstack.mjs URL. What is written is there at once, and after a reload.

import assert from "node:assert/strict";

import { launch, watch } from "../browser/launch.mjs";

const browser = await launch();
const errors = [];
try {
  const page = await browser.newPage();
  watch(page, errors);
  await page.goto(process.argv[2]);
  for (const title of ["Tea", "Milk"]) {
    const written = page.waitForResponse((response) => response.url().endsWith("/todos"));
    await page.getByRole("textbox").fill(title);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: title }).waitFor();
    assert.equal((await written).status(), 200);
  }
  await page.reload();
  const changed = page.waitForResponse((response) => response.request().method() === "PATCH");
  await page.getByRole("button", { name: "Tea" }).click();
  await page.getByRole("button", { name: "Tea" }).waitFor({ state: "detached" });
  assert.equal((await changed).status(), 200);
  await page.reload();
  await page.getByRole("button", { name: "Milk" }).waitFor();
  assert.equal(await page.getByRole("button").count(), 1);
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
}
