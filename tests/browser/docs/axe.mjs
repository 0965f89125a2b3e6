// axe on each page of the built documentation: node axe.mjs FOLDER PAGE ... The named ones are looked at as a whole, in light and in
// dark; of the others what the named ones do not have as well: their content, in light.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { launch } from "../launch.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const SITE = "http://docs.test/"; // not from disk: the page for what is missing has addresses from the root

const [folder, ...named] = process.argv.slice(2);
const all = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".html"));
const whole = new Set([...named, "404.html"]);
const browser = await launch();
const found = [];
let looked = 0;
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
      await page.evaluate(AXE);
      const { violations, passes } = await page.evaluate(
        ([values, part]) =>
          window.axe.run(part ?? document, { runOnly: { type: "tag", values }, resultTypes: ["violations"] }),
        [RULES, whole.has(name) ? undefined : ".md-content"],
      );
      if (passes.length) looked += 1;
      for (const { id, nodes } of violations)
        for (const node of nodes)
          found.push(
            `${name}, ${colorScheme}: ${id}: ${node.html.slice(0, 90)} ${node.any.map(({ message }) => message)}`,
          );
    }
  }
  assert.deepEqual(found, []);
  assert.equal(looked, all.length + named.length);
} finally {
  await browser.close();
}
