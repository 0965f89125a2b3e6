// The live dashboard, as two users watch it: node dashboard.mjs URL FOLDER

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { call, inBackground, refused, run, shows, sql, user } from "./users.mjs";

let ada, bob;
const requests = '[data-figure="Requests"]';

await run(
  [
    [
      "without requests there is nothing to show",
      async () => {
        ada = await user("dashboard", "Ada");
        bob = await user("dashboard", "Bob");
        for (const page of [ada, bob]) {
          await shows(page, requests, ["0"]);
          await shows(page, "#alerts li", ["None yet"]);
          await shows(page, "#watchers", ["Watching: Ada, Bob"]);
        }
      },
    ],
    [
      "the simulator writes rows, and both pages draw what PostgreSQL computes of them",
      async () => {
        await ada.click("#run");
        for (const page of [ada, bob]) {
          await eventually(async () => assert.equal(await page.locator(".chart .line").count(), 2));
          await shows(page, "#services th", ["catalog", "checkout", "search"]);
        }
        await ada.click("#run");
        const [[count]] = await sql("select count(*)::text from dashboard.requests");
        assert.ok(Number(count) > 0);
      },
    ],
    [
      "a threshold that is passed raises an alert on both, which one takes, and which is cleared when that is over",
      async () => {
        await inBackground(bob);
        await ada.click("#slow");
        await ada.click("#run");
        for (const page of [ada, bob])
          await eventually(async () => assert.match(await page.textContent("#alarm"), /^checkout takes \d+ ms$/));
        await shows(bob, '[data-service="checkout"] td:last-child', ["slow"]);
        await eventually(async () => assert.match(await bob.evaluate("notified"), /^checkout is slow: \d+ ms$/));
        await ada.getByRole("button", { name: "Take it" }).click();
        await eventually(async () => assert.match(await bob.textContent("#alerts"), /taken by Ada/));
        const [[id]] = await sql("select max(id) from dashboard.alerts");
        assert.deepEqual(await call(bob, "dashboard/take", { id, take: false }), {
          error: "Another user has this alert, or it has ended.",
        });
        await ada.click("#slow");
        for (const page of [ada, bob]) await shows(page, "#alarm", [""]);
        await ada.click("#run");
        await eventually(async () => assert.match(await bob.textContent("#alerts"), /over at/));
      },
    ],
    [
      "what users and services did is the activity of both",
      async () => {
        const happened = [
          "Ada stopped the simulator",
          "checkout is back to normal",
          "Ada took the alert of checkout",
          "checkout is slow",
          "Ada started the simulator",
        ];
        for (const page of [ada, bob])
          await eventually(async () => {
            const shown = await page.locator("#activity li").allTextContents();
            for (const [i, what] of happened.entries()) assert.ok(shown[i]?.includes(what), `${shown}`);
          });
      },
    ],
    [
      "no user makes an alert",
      async () => assert.equal(await refused(bob, "publish", "dashboard:alerts", "raised"), "RT_003"),
    ],
    [
      "rows that SQL writes count at once",
      async () => {
        const before = Number(await bob.textContent(requests));
        await sql(
          "insert into dashboard.requests (at, service, milliseconds, ok) select now() - n * interval '1 second', service, " +
            "90 + n % 40 + (60 * sin(n / 9.0))::int, n % 50 > 0 from generate_series(1, 240) n, " +
            "unnest(array['checkout', 'search', 'catalog']) service, generate_series(1, 6 + (4 * sin(n / 20.0))::int)",
        );
        await eventually(async () => assert.ok(Number(await bob.textContent(requests)) >= before + 3000));
      },
    ],
  ],
  () => ({ dashboard: bob }),
);
