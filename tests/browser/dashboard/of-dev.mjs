// The dashboard of `realtime dev`, which this machine opens without a key.

import assert from "node:assert/strict";

import { heading } from "./operator.mjs";

export const ofDev = (browser, url, complaints) => ({
  name: "the dashboard of this machine needs no key, and has nothing to sign out of",
  async run() {
    const page = await browser.newPage();
    complaints.watch(page);
    await page.goto(new URL("/dashboard", url).href);
    await heading(page, "Overview");
    await page.waitForFunction(() => Number(document.querySelector('[data-figure="connections"]').textContent) > 0);
    assert.equal(await page.locator("#sign-out").isVisible(), false);
    await page.close();
  },
});
