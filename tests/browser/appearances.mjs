// The dashboard beside the demo page, and how the demo page looks on each size of screen, in light and dark: screenshots, contrast, sizes of controls, axe.

import assert from "node:assert/strict";

import { ofDev } from "./dashboard/of-dev.mjs";
import { fits, hasContrast, hasUsableControls, SIZES, violations } from "./looks.mjs";
import { open, type } from "./pages.mjs";

const SCHEMES = ["dark", "light"];

/** A step for the dashboard, one for the page about the REST API, one for the documentation, then one for each size, in both colour schemes; screenshots go to `folder`. */
export function appearances(browser, url, complaints, folder) {
  const steps = [
    ofDev(browser, url, complaints),
    ofRestDocs(browser, url, complaints),
    ofDocs(browser, url, complaints, folder),
  ];
  for (const { name, ...size } of SIZES) {
    const run = async () => {
      const page = await open(browser, url, complaints, size);
      const check = async (what) => {
        for (const colorScheme of SCHEMES) {
          await page.emulateMedia({ colorScheme });
          await hasContrast(page);
        }
        await page.screenshot({ path: `${folder}/${name}-${what}.png` });
        await fits(page);
        await hasUsableControls(page);
        assert.deepEqual(await violations(page), [], what);
      };
      await check("start");
      await page.click('.views [data-view="chat"]');
      await page.waitForSelector("#chat-list .chat-message");
      await check("chat");
      await page.click('.views [data-view="messages"]');
      if (name === "phone") {
        await page.click('.views [data-view="sales"]');
        await check("sales");
      }
      if (name !== "desktop") await page.click("#console-toggle");
      await type(page, "select status, count(*) from orders group by status");
      await page.waitForSelector("#result-table td");
      await check("sql");
      await page.context().close();
    };
    steps.push({ name: `the page looks as it should on a ${name}`, run });
  }
  return steps;
}

function ofRestDocs(browser, url, complaints) {
  const run = async () => {
    for (const colorScheme of SCHEMES) {
      const page = await browser.newPage({ colorScheme });
      complaints.watch(page);
      await page.goto(`${url}realtime/docs`);
      assert.deepEqual(await violations(page), [], colorScheme);
      await page.close();
    }
  };
  return { name: "axe finds nothing on the page about the REST API, in light and in dark", run };
}

function ofDocs(browser, url, complaints, folder) {
  const run = async () => {
    const demo = await open(browser, url, complaints);
    await demo.click(".about a:text-is('Documentation')");
    await demo.waitForURL(`${url}docs/index.md`);
    await demo.click("main a:text-is('Quickstart')");
    assert.match(await demo.title(), /^Quickstart/);
    await demo.context().close();
    for (const { name, ...size } of [SIZES[0], SIZES[2]]) {
      const page = await browser.newPage(size);
      complaints.watch(page);
      for (const path of ["index", "getting-started", "operations/scaling"]) {
        await page.goto(`${url}docs/${path}.md`);
        for (const colorScheme of SCHEMES) {
          await page.emulateMedia({ colorScheme });
          await hasContrast(page);
        }
        await page.screenshot({ path: `${folder}/${name}-docs-${path.replace("/", "-")}.png` });
        await fits(page);
        assert.deepEqual(await violations(page), [], `${path} on a ${name}`);
      }
      await page.close();
    }
  };
  return { name: "the demo page leads to the documentation, which fits and has contrast", run };
}
