// The code that the demo page's panels show: node snippets.mjs URL FOLDER. TypeScript and SQL run here; Python goes into FOLDER.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";

import { Complaints, launch, open, sql } from "./pages.mjs";
import { eventually } from "../support/eventually.mjs";

const [url, folder] = process.argv.slice(2);
const complaints = new Complaints();
const browser = await launch();
const page = await open(browser, url, complaints);
const printed = [];
page.on("console", async (message) => {
  if (message.type() === "log") printed.push(await Promise.all(message.args().map((each) => each.jsonValue())));
});

const code = (panel) => page.textContent(`#code-${panel} .code`);
for (const panel of ["messages", "totals", "days", "regions", "products", "orders", "chat"]) {
  if (panel === "chat") await page.click('.views [data-view="chat"]');
  await page.click(`[aria-controls="code-${panel}"]`);
  const snippets = {};
  for (const language of ["SQL", "Python", "TypeScript"]) {
    await page.click(`#code-${panel} .languages >> text=${language}`);
    snippets[language] = await code(panel);
  }
  const rows = await sql(url, snippets.SQL.replace(/;$/, ""));
  await writeFile(`${folder}/${panel}.py`, snippets.Python);
  printed.length = 0;
  const program = snippets.TypeScript.replace(
    'import { Realtime } from "@bunbase/sdk";',
    'const { Realtime } = await import("/realtime/sdk.js");',
  );
  assert.notEqual(program, snippets.TypeScript);
  await page.evaluate(`(async () => {\n${program}\n})()`);
  await eventually(() => assert.ok(printed.length, `${panel} printed nothing`));
  if (panel === "chat") assert.ok(printed.some(([, data]) => data.text === "Hello!"));
  else assert.equal(printed[0][0].length, rows.length, panel);
}

await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
await page.click("#code-chat .code-bar >> text=Copy");
assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await code("chat"));
await page.reload();
await page.click('[aria-controls="code-orders"]');
assert.match(await code("orders"), /^import \{ Realtime \}/); // the language that was chosen last
assert.deepEqual(complaints.list, []);
await browser.close();
