// What the scenarios of the examples share: users in tabs, SQL by way of the parent process, and the steps.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { checkLooks, Watch } from "../dashboard/operator.mjs";
import { launch } from "../launch.mjs";
import { eventually } from "../../support/eventually.mjs";

const [address, folder] = process.argv.slice(2);
const browser = await launch();
const VIEWPORT = { width: 900, height: 580 };
const context = await browser.newContext({ viewport: VIEWPORT }); // one for all: tabs, not profiles
const watch = new Watch();
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** What Chromium reports of a call that the back end has refused, or that the page repeats: then the step shows its success. */
const REFUSED = /status of (400|503) .*\/call\//;

/** Rows of a statement that the parent process runs, values as text where JSON has no such type. */
export async function sql(statement) {
  console.log(`SQL ${statement}`);
  return JSON.parse((await answers.next()).value);
}

/** A browser of its own, whose network can be taken away. */
export const apart = () => browser.newContext({ viewport: VIEWPORT });

/** End the realtime server as a crash does. */
export const killServer = () => console.log("KILL");

/** Run a step in which the console may complain of `expected`. */
export const during = (expected, step) => watch.during(expected, step);

/** A tab in which `name` has signed in to `example`, in the browser that all share, or another one. */
export async function user(example, name, { where = context, hash = "" } = {}) {
  const page = await where.newPage();
  watch.look(page);
  await page.goto(`${address}/${example}/${hash}`);
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await page.waitForSelector('#connection[data-state="open"]');
  return page;
}

/** The texts of elements, in order, once they are as expected. */
export const shows = (page, selector, expected) =>
  eventually(async () => assert.deepEqual(await page.locator(selector).allTextContents(), expected));

/** A tab of a user who has not signed in, at `path`. */
export async function visitor(path) {
  const page = await context.newPage();
  watch.look(page);
  await page.goto(`${address}${path}`);
  return page;
}

/** From now on the page is in the background, and has what it notifies the desktop of in `notified`. */
export const inBackground = (page) =>
  page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true });
    window.Notification = class {
      static permission = "granted";
      constructor(title, { body }) {
        window.notified = `${title}: ${body}`;
      }
    };
  });

/** What the back end answers to a call in the name of this tab's user. */
export const call = (page, name, args) =>
  page.evaluate(
    async ([path, given]) => {
      const { session } = JSON.parse(sessionStorage.getItem("examples-session"));
      const headers = { Authorization: `Bearer ${session}` };
      return (await fetch(path, { method: "POST", headers, body: JSON.stringify(given) })).json();
    },
    [`/call/${name}`, args],
  );

/** What becomes of a client without a token. */
export const withoutToken = (page) =>
  page.evaluate(async () => {
    const { Realtime, url } = await import("/realtime.js");
    const realtime = new Realtime({ url, reconnect: false });
    const { code } = await new Promise((resolve) => realtime.on("error", resolve));
    realtime.disconnect();
    return code;
  });

/** The code of the error with which the server refuses what `ask` does with a client, a `Realtime`, of this tab's user. */
export const refused = (page, ask, ...given) =>
  page.evaluate(
    async ([text, values]) => {
      const { Realtime, url } = await import("/realtime.js");
      const { session } = JSON.parse(sessionStorage.getItem("examples-session"));
      const headers = { Authorization: `Bearer ${session}` };
      const answer = await fetch("/token", { method: "POST", headers, body: "{}" });
      const realtime = new Realtime({ url, token: (await answer.json()).token });
      const asked = {
        publish: (channel, event, data = {}) => realtime.channel(channel).send(event, data),
        subscribe: (channel) => realtime.channel(channel).subscribe(),
      };
      const outcome = await asked[text](...values).then(
        () => "allowed",
        (error) => error.code,
      );
      realtime.disconnect();
      return outcome;
    },
    [ask, given],
  );

/** Run the steps, then look at each page of `looked`; exits with 1 if one fails or the console has complaints. */
export async function run(steps, looked = () => ({})) {
  let failed = false;
  const look = async () => {
    for (const [name, page] of Object.entries(looked())) {
      await page.bringToFront();
      await page.screenshot({ path: `${folder}/${name}.png` });
      await checkLooks(page, browser, folder, name);
    }
  };
  for (const [name, step] of [
    ...steps,
    ["axe finds nothing, and nothing sticks out, on a desktop and a phone", look],
  ]) {
    try {
      await step();
      console.log(`ok - ${name}`);
    } catch (error) {
      failed = true;
      console.log(`not ok - ${name}\n${error.stack ?? error}`);
      for (const [i, page] of context.pages().entries()) await page.screenshot({ path: `${folder}/failed-${i}.png` });
      break;
    }
  }
  const complaints = watch.complaints.filter((text) => !REFUSED.test(text));
  if (complaints.length) console.log(`not ok - the console has complaints\n${complaints.join("\n")}`);
  await browser.close();
  process.exit(failed || complaints.length ? 1 : 0);
}
