// axe on each page of the built documentation: node axe.mjs FOLDER PAGE ... The named ones are looked at as a whole, in light and in
// dark; of the others what the named ones do not have as well: their content, in light.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";

import { launch } from "../launch.mjs";
import { violations } from "../looks.mjs";

const SITE = "http://docs.test/"; // not from disk: the page for what is missing has addresses from the root

const [folder, ...named] = process.argv.slice(2);
const all = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));
const whole = new Set([...named, "404.html"]);
const browser = await launch();
const found = [];
try {
  for (const [colorScheme, names] of Object.entries({ light: all, dark: named })) {
    // A colour scheme is remembered, so each has a context; and no link is half hidden in a list that scrolls.
    const page = await browser.newPage({
      colorScheme,
      reducedMotion: "reduce",
      viewport: { width: 1280, height: 3000 },
    });
    await page.route(`${SITE}**`, (route) =>
      route.fulfill({ path: join(folder, new URL(route.request().url()).pathname) }),
    );
    for (const name of names) {
      await page.goto(SITE + name);
      const part = whole.has(name) ? undefined : ".md-content";
      for (const each of await violations(page, { part, strict: false }))
        found.push(`${name}, ${colorScheme}: ${each}`);
    }
  }
  assert.deepEqual(found, []);
} finally {
  await browser.close();
}
