// The application of the page about TanStack DB, as it is written there, in Chromium against a server. Its API is answered here.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "../../browser/launch.mjs";
import { blocksOf, bundled } from "./framework_pages.mjs";
import { NetworkGate } from "./scenarios/gate.mjs";
import { eventually, sql, url } from "./scenarios/support.mjs";

const OBSERVER = `<script>
  window.shown = [];
  new MutationObserver(() => shown.push(document.querySelector("ul")?.innerText ?? ""))
    .observe(document, { childList: true, subtree: true });
</script>`;
const PAGE = (await blocksOf("docs/sdk/tanstack-db.md"))["index.html"]
  .replace("/src/main.ts", "/app.js")
  .replace("<ul>", `${OBSERVER}<ul>`);

let browser;
let gate;
before(async () => {
  await sql(`create table todos (id uuid primary key, title text not null check (title <> 'refused'), done boolean not null);
    select realtime.expose('todos')`);
  gate = await NetworkGate.open(url, PAGE);
  gate.files = { "/app.js": await bundled("tanstack-db") };
  browser = await launch();
});
after(async () => {
  await browser?.close();
  gate?.close();
});

const quoted = (value) => `'${String(value).replaceAll("'", "''")}'`;

/** The API of the page: one transaction each, and its position. */
async function api(route) {
  const request = route.request();
  const id = new URL(request.url()).pathname.split("/")[2];
  const body = request.postDataJSON();
  const statements = {
    POST: () => `insert into todos values (${[body.id, body.title, body.done].map(quoted).join()})`,
    PATCH: () => `update todos set done = ${quoted(body.done)} where id = ${quoted(id)}`,
  };
  try {
    const [[position]] = await sql(
      `with written as (${statements[request.method()]()} returning 1) select realtime.position() from written`,
    );
    await route.fulfill({ json: { position } });
  } catch (error) {
    await route.fulfill({ status: 422, body: String(error) });
  }
}

test("rows are shown, and what a user writes is there at once and stays", async () => {
  await sql(`insert into todos values (gen_random_uuid(), 'bread', false), (gen_random_uuid(), 'done', true)`);
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.route(/\/todos/, api);
  await page.goto(gate.url);
  const texts = () => page.locator("li").allTextContents();
  await eventually(async () => assert.deepEqual(await texts(), ["bread"]));

  await page.locator("input").fill("apples");
  await page.locator("input").press("Enter");
  await eventually(async () =>
    assert.deepEqual(await sql("select count(*) from todos where title = 'apples'"), [["1"]]),
  );
  await sql(`insert into todos values (gen_random_uuid(), 'cheese', false)`);
  await eventually(async () => assert.deepEqual(await texts(), ["apples", "bread", "cheese"]));
  const shown = await page.evaluate("shown");
  const first = shown.findIndex((each) => each.includes("apples"));
  assert.ok(
    shown.slice(first).every((each) => each.includes("apples")),
    JSON.stringify(shown),
  );

  await page.getByRole("button", { name: "bread" }).click();
  await eventually(async () => assert.deepEqual(await texts(), ["apples", "cheese"]));
  assert.deepEqual(await sql("select done from todos where title = 'bread'"), [["True"]]);

  await page.locator("input").fill("refused");
  await page.locator("input").press("Enter");
  await page.locator("output", { hasText: "todos_title_check" }).waitFor();
  assert.deepEqual(await texts(), ["apples", "cheese"]);
  assert.deepEqual(errors, []);
});
