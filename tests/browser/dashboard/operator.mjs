// What the tests of the dashboard do and read, as an operator does.

import assert from "node:assert/strict";

import { fits, hasUsableControls, violations } from "../looks.mjs";
import { eventually } from "../../support/eventually.mjs";

const DESKTOP = { width: 1440, height: 900 };
/** Each size and each scheme once: sizes decide what is where, schemes decide colours. */
const APPEARANCES = [
  { name: "phone-dark", viewport: { width: 360, height: 780 }, colorScheme: "dark" },
  { name: "desktop-light", viewport: DESKTOP, colorScheme: "light" },
];
/** More than a window of 900 pixels shows, with what is kept around it. */
const MAX_ROWS = 80;

/** Everything that goes wrong in a page's console. What a test causes itself is let through while it does. */
export class Watch {
  complaints = [];
  #expected = null;

  look(page) {
    const complain = (text) => this.#expected?.test(text) || this.complaints.push(text);
    page.on(
      "console",
      (message) =>
        ["error", "warning"].includes(message.type()) && complain(`${message.text()} ${message.location().url}`),
    );
    page.on("pageerror", (error) => complain(error.stack ?? String(error)));
  }

  async during(expected, run) {
    this.#expected = expected;
    await run();
    this.#expected = null;
  }
}

export const address = (url, view, subject) =>
  `${url}/dashboard#/${view}${subject ? `/${encodeURIComponent(subject)}` : ""}`;

export async function signIn(page, key) {
  await page.fill("#key", key);
  await page.click('.sign-in button[type="submit"]');
}

export const heading = (page, text) =>
  eventually(async () => assert.equal(await page.textContent("h1", { timeout: 5_000 }), text));

export async function openView(page, name, title) {
  await page.click(`#pages a[href="#/${name}"]`);
  await heading(page, title);
  await loaded(page);
}

/** No block waits for its first answer. */
export const loaded = (page) => page.waitForFunction(() => !document.querySelector("main .loading:not([hidden])"));

/** The texts of a table's cells, by row. */
export const rowsOf = (page, label) =>
  page.$$eval(`[aria-label="${label}, table"] tbody tr:not(.empty)`, (rows) =>
    rows.map((row) => [...row.cells].map((cell) => cell.textContent)),
  );

/** Answer the question that is open. */
export async function dialog(page, button) {
  await page.getByRole("dialog").getByRole("button", { name: button, exact: true }).click();
  await page.waitForSelector("dialog", { state: "detached" });
}

/** Scroll a long list to its end; returns the key of its last row. */
export async function scrollToEnd(page, count) {
  await page.focus(".window");
  await page.keyboard.press("End");
  const last = page.locator(`.window tr[aria-rowindex="${count + 1}"][data-key]`);
  await last.waitFor({ timeout: 60_000 });
  const drawn = await page.locator(".window tbody tr").count();
  assert.ok(drawn < MAX_ROWS, `${drawn} rows are elements`);
  assert.equal(await page.getAttribute(".window table", "aria-rowcount"), String(count + 1));
  return last.getAttribute("data-key");
}

/** Titles of columns of a long list for which the column is too narrow: so it is for what is below them. */
const cutTitles = (page) =>
  page.$$eval(".windowed thead th", (titles) =>
    titles.filter((title) => title.scrollWidth > title.clientWidth).map((title) => title.textContent),
  );

/** Screenshots, axe, sizes of controls and nothing that sticks out, in each of the appearances. */
export async function checkLooks(page, browser, folder, name) {
  await loaded(page);
  for (const { name: appearance, viewport, colorScheme } of APPEARANCES) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.screenshot({ path: `${folder}/${appearance}-${name}.png` });
    assert.deepEqual(await violations(page), [], `${name}, ${appearance}`);
    await fits(page);
    await hasUsableControls(page);
    assert.deepEqual(await cutTitles(page), [], `titles of columns in ${name}, ${appearance}`);
  }
  await page.setViewportSize(DESKTOP);
}

/** Choose dark colours in place of light ones; returns what does not have its new value at once, but moves to it. */
export const changeColours = (page) =>
  page.evaluate(() => {
    document.querySelector('[aria-label="Switch to dark colours"]').click();
    return document
      .getAnimations()
      .map(({ effect, transitionProperty }) => `${effect.target.outerHTML.slice(0, 80)}: ${transitionProperty}`);
  });
