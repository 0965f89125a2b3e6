// What goes wrong around the dashboard: rows that change under a question, addresses of no view, servers that hang.

import assert from "node:assert/strict";

import { address, heading, openView, signIn } from "./operator.mjs";

/** The row of a question is drawn anew while the question is open. */
export async function focusReturns({ page, given }) {
  await page.goto(address(given.url, "channels", "chat:lounge"));
  const kick = page.getByRole("button", { name: "Kick ada" });
  await kick.focus();
  const first = await kick.elementHandle();
  await page.keyboard.press("Enter");
  await page.waitForSelector("dialog[open]");
  await page.waitForFunction((button) => !button.isConnected, first);
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Kick ada");
}

export async function noSuchView({ page, given }) {
  for (const name of ["__proto__", "constructor", "nothing"]) {
    await openView(page, "slots", "Slots");
    await page.goto(address(given.url, name));
    await heading(page, "Overview");
  }
}

/** It has no clients and no figures, and is no fault; of the other nodes only the server of the test has written figures. */
export async function relayIsWell({ page }) {
  assert.equal(await page.locator(".status", { hasText: /^relay$/ }).getAttribute("data-level"), "good");
  assert.equal(await page.textContent('[data-figure="nodes"]'), "1 of 3");
}

/** In a page of its own, whose clock is moved on. */
export async function hangsThenRefuses({ context, watch, given }) {
  const page = await context.newPage();
  watch.look(page);
  await page.clock.install();
  await watch.during(/401/, async () => {
    await page.goto(address(given.url, "slots"));
    await signIn(page, given.key);
    await heading(page, "Slots");
    await page.waitForSelector('#connection[data-state="connected"]');
    await page.route("**/realtime/**", () => {});
    const asked = page.waitForRequest("**/realtime/slots*");
    await page.clock.runFor(2_500);
    await asked;
    await page.clock.runFor(30_000);
    await page.waitForSelector('#connection[data-state="waiting"]', { timeout: 15_000 });
    await page.unroute("**/realtime/**");
    const refusal = { status: 401, json: { title: "revoked", code: "RT_002" } };
    await page.route("**/realtime/**", (route) => route.fulfill(refusal));
    await page.reload();
    await page.waitForSelector(".sign-in .problem:not([hidden])");
    assert.equal(await page.textContent(".sign-in .problem"), "revoked");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    assert.equal(await page.locator("#connection").isVisible(), false);
  });
  await page.close();
}
