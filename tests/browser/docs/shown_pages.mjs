// Pages and scripts of the documentation in a browser: node shown_pages.mjs < [[HTML, TEXT], ...]. Each page shows or reports its
// text; it comes from another origin than the server.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { launch } from "../launch.mjs";

const pages = JSON.parse(await text(process.stdin));
const site = createServer(({ url }, answer) => {
  const [html] = pages[Number(url.slice(1))] ?? [];
  answer.writeHead(html ? 200 : 204, { "Content-Type": "text/html; charset=utf-8" }).end(html);
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const browser = await launch();
try {
  for (const [number, [, expected]] of pages.entries()) {
    const page = await browser.newPage();
    const reported = [];
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", async (message) => {
      if (message.type() === "error") errors.push(message.text());
      for (const each of message.args()) reported.push(JSON.stringify(await each.jsonValue()));
    });
    await page.goto(`http://127.0.0.1:${site.address().port}/${number}`);
    await eventually(async () => {
      const shown = (await page.locator("body").innerText()) + reported.join(" ");
      assert.ok(shown.includes(expected), `${shown} ${errors}`);
    });
    assert.deepEqual(errors, []);
    await page.close();
  }
} finally {
  await browser.close();
  site.close();
}
