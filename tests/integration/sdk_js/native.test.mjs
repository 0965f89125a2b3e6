// The application of the page about React Native in Chromium, by react-native-web, which has React Native's components for browsers; its
// back end is made here. TOKEN is what that answers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch } from "../../browser/launch.mjs";
import { nativeBundled } from "./framework_pages.mjs";
import { NetworkGate } from "./scenarios/gate.mjs";
import { eventually, sql, url } from "./scenarios/support.mjs";

const { TOKEN } = process.env;
const ALLOWED = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "authorization" };

let browser;
let gate;
before(async () => {
  gate = await NetworkGate.open(
    url,
    '<!doctype html><title>An application</title><div id="root"></div><script type="module" src="/app.js"></script>',
  );
  gate.files = { "/app.js": await nativeBundled(gate.url) };
  browser = await launch();
});
after(async () => {
  await browser?.close();
  gate?.close();
});

/** What the back end does: the rows and the message in one transaction, whose position it answers. */
async function complete() {
  await sql(`do $$ begin
    update todos set done = true where list_id = 'home';
    perform realtime.broadcast('list:home', 'all-done', jsonb_build_object('by', 'ada'));
  end $$`);
  const [[position]] = await sql("select realtime.position()");
  return { position };
}

test("the list is shown, and one button writes to it and gets the message", async () => {
  await sql("insert into todos values ('1', 'home', 'Water the plants', false), ('2', 'work', 'Elsewhere', false)");
  const page = await browser.newPage();
  const errors = [];
  const asked = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && errors.push(message.text()));
  await page.route("https://app.example.com/**", async (route) => {
    const request = route.request();
    const { pathname } = new URL(request.url());
    if (request.method() !== "OPTIONS") asked.push(`${request.method()} ${pathname}`);
    const body =
      pathname === "/realtime-token" ? TOKEN : request.method() === "POST" ? JSON.stringify(await complete()) : "";
    await route.fulfill({ status: 200, headers: ALLOWED, body });
  });
  await page.goto(gate.url);
  await eventually(async () => {
    assert.deepEqual(errors, []);
    await page.getByText("Water the plants", { exact: true }).waitFor({ timeout: 1000 });
  });
  assert.equal(await page.getByText("Elsewhere").count(), 0);
  await page.getByRole("button", { name: "All done" }).click();
  await page.getByText("Water the plants ✓", { exact: true }).waitFor();
  await page.getByText("Done by ada").waitFor();
  assert.ok(asked.includes("POST /realtime-token") && asked.includes("POST /lists/home/complete"), String(asked));
  await sql("insert into todos values ('3', 'home', 'Sweep', false)");
  await page.getByText("Sweep", { exact: true }).waitFor();
  assert.deepEqual(errors, []);
});
