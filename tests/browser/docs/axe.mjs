// axe on pages of the built documentation, in light and in dark: node axe.mjs FOLDER PAGE ...

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { launch } from "../launch.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

const [folder, ...names] = process.argv.slice(2);
const browser = await launch();
const found = [];
try {
  for (const colorScheme of ["light", "dark"]) {
    // A colour scheme is remembered, so each has a context; and no link is half hidden in a list that scrolls.
    const page = await browser.newPage({
      colorScheme,
      reducedMotion: "reduce",
      viewport: { width: 1280, height: 3000 },
    });
    for (const name of names) {
      await page.goto(pathToFileURL(join(folder, name)).href);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(
        (values) =>
          window.axe.run(document, {
            runOnly: { type: "tag", values },
            resultTypes: ["violations"],
          }),
        RULES,
      );
      for (const { id, nodes } of violations)
        for (const node of nodes)
          found.push(
            `${name}, ${colorScheme}: ${id}: ${node.html.slice(0, 90)} ${node.any.map(({ message }) => message)}`,
          );
    }
  }
  assert.deepEqual(found, []);
} finally {
  await browser.close();
}
