// The application of the page about React, as it is written there, in Chromium against a server; its provider is in StrictMode.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "../../../browser/launch.mjs";
import { NetworkGate } from "./gate.mjs";
import { sql, url } from "./support.mjs";

const ROOT = new URL("../../../../", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, ROOT));
const { build } = createRequire(path("sdk/js/package.json"))("esbuild");

let browser;
let gate;
before(async () => {
  const [, contents] = /```tsx title="app.tsx"\n(.*?)```/s.exec(await readFile(path("docs/sdk/react.md"), "utf8"));
  const { outputFiles } = await build({
    stdin: { contents, loader: "tsx", resolveDir: path("sdk/react/test") },
    alias: { "@bunbase/sdk": path("sdk/js/dist/index.js"), "@bunbase/react": path("sdk/react/src/index.ts") },
    bundle: true,
    write: false,
    format: "esm",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
  });
  gate = await NetworkGate.open(
    url,
    '<!doctype html><title>React</title><div id="root"></div><script type="module" src="/app.js"></script>',
  );
  gate.files = { "/app.js": outputFiles[0].text };
  browser = await launch();
});
after(async () => {
  await browser?.close();
  gate?.close();
});

test("rows, users and messages are shown and kept up to date on two pages", async () => {
  await sql("insert into messages (room_id, body) values ('general', 'first'), ('other', 'unseen')");
  const errors = [];
  const pages = [];
  while (pages.length < 2) {
    const page = await (await browser.newContext()).newPage();
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(gate.url);
    await page.locator("#state", { hasText: "open" }).waitFor();
    await page.locator("li", { hasText: "first" }).waitFor();
    pages.push(page);
  }
  const [one, two] = pages;
  await sql("insert into messages (room_id, body) values ('general', 'second')");
  for (const page of pages) {
    await page.locator("li", { hasText: "second" }).waitFor();
    assert.deepEqual(await page.locator("li").allTextContents(), ["second", "first"]);
    await page.locator("#present", { hasText: "here" }).waitFor();
  }
  await two.getByRole("button", { name: "Wave (0)" }).waitFor();
  await one.getByRole("button").click();
  for (const page of pages) await page.getByRole("button", { name: "Wave (1)" }).waitFor();
  assert.deepEqual(errors, []);
});
