// A browser, and a test that never ends: for what becomes of both when `play` gives up.

import { test } from "node:test";

import { launch } from "../../browser/launch.mjs";
import { sql } from "./scenarios/support.mjs";

test("it hangs", async () => {
  const browser = await launch();
  const page = await browser.newPage();
  await sql("select 'launched'");
  await page.waitForFunction("false", undefined, { timeout: 0 });
});
