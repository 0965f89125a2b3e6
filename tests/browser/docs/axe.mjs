// axe on each page of the built documentation, as a whole and in both colour schemes: node axe.mjs FOLDER

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { launch } from "../launch.mjs";
import { violations } from "../looks.mjs";

const SITE = "http://docs.test/"; // not from disk: the page for what is missing has addresses from the root
const SCHEMES = ["default", "slate"];

const [folder] = process.argv.slice(2);
const pages = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));

/** Answer a request. Each page would make an index of the words of all pages, which is a fifth of the work. */
function answer(route) {
  const { pathname } = new URL(route.request().url());
  if (pathname === "/search/search_index.js") return route.fulfill({ body: "", contentType: "text/javascript" });
  if (pathname === "/search/search_index.json") return route.fulfill({ json: { config: { lang: ["en"] }, docs: [] } });
  return route.fulfill({ path: join(folder, pathname) });
}

const scheme = (page) => page.evaluate(() => document.body.dataset.mdColorScheme);

/** Change to the other colour scheme, as its button does; the next page begins in it. */
async function change(page) {
  const former = await scheme(page);
  await page.evaluate(() => document.querySelector("[data-md-component=palette] label:not([hidden])").click());
  await page.waitForFunction((scheme) => document.body.dataset.mdColorScheme !== scheme, former);
  await page.evaluate(() => {
    for (const each of document.getAnimations()) if (each instanceof window.CSSTransition) each.finish();
  });
}

const browser = await launch();
const found = [];
try {
  // No link is half hidden in a list that scrolls.
  const page = await browser.newPage({ reducedMotion: "reduce", viewport: { width: 1280, height: 3000 } });
  await page.route(`${SITE}**`, answer);
  for (const name of pages) {
    await page.goto(SITE + name);
    const seen = [];
    // What depends on the colours is their contrast alone.
    for (const rules of [undefined, ["color-contrast"]]) {
      if (rules) await change(page);
      seen.push(await scheme(page));
      for (const each of await violations(page, { rules, strict: false }))
        found.push(`${name}, ${seen.at(-1)}: ${each}`);
    }
    assert.deepEqual(seen.sort(), SCHEMES, name);
  }
  assert.deepEqual(found, []);
} finally {
  await browser.close();
}
