// Notifications and activity feed, as Ada and Bob use them: node feed.mjs URL FOLDER

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { apart, call, inBackground, refused, run, shows, sql, user } from "./users.mjs";

let ada, bob;

const post = async (text) => {
  await ada.fill("#body", text);
  await ada.press("#body", "Enter");
};

const ON = "This browser notifies you, also while the page is closed.";

/**
 * The service worker of `page`: `deliver` hands it a message as the browser does, after it has decrypted it; `shown` are the
 * notifications that it has shown. Chromium without windows has none, so they are noted where the worker shows them.
 */
async function workerOf(page) {
  const origin = new URL(page.url()).origin;
  const context = page.context();
  const cdp = await context.newCDPSession(page);
  let registrationId;
  cdp.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
    registrationId = registrations.find(({ scopeURL }) => scopeURL === `${origin}/feed/`)?.registrationId;
  });
  await cdp.send("ServiceWorker.enable");
  await eventually(() => assert.ok(registrationId && context.serviceWorkers().length));
  const [worker] = context.serviceWorkers();
  await worker.evaluate(() => {
    globalThis.shown = new Map();
    globalThis.registration.showNotification = async (title, { body, tag }) => {
      globalThis.shown.set(tag, [title, body, tag]);
    };
  });
  return {
    deliver: (message) =>
      cdp.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: message }).then(() => undefined),
    shown: () => worker.evaluate(() => [...globalThis.shown.values()]),
  };
}

/** From now on `page` believes that it is not looked at, and keeps what it notifies of itself in `notified`. */
const hide = (page) =>
  page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true });
    window.Notification = class extends window.Notification {
      constructor(title) {
        window.notified = super(title).title;
      }
    };
  });

/** From now on subscriptions of `page` are those of the push service that the test's back end knows. */
async function subscribing(page) {
  await page.addInitScript(() => {
    Object.defineProperty(window.Notification, "permission", { value: "granted" });
    window.Notification.requestPermission = async () => "granted";
    const endpoint = "http://127.0.0.1:9/carol";
    const base64url = (bytes) =>
      window
        .btoa(String.fromCharCode(...new Uint8Array(bytes)))
        .replace(/[+/=]/g, (each) => ({ "+": "-", "/": "_" })[each] ?? "");
    const kept = () => JSON.parse(sessionStorage.getItem("subscription") ?? "null");
    const subscription = () => {
      const keys = kept();
      return keys && { endpoint, toJSON: () => ({ endpoint, keys }), unsubscribe: async () => keep(null) };
    };
    const keep = (keys) => sessionStorage.setItem("subscription", JSON.stringify(keys));
    const { prototype } = window.PushManager;
    prototype.getSubscription = async () => subscription();
    prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
      if (!userVisibleOnly || applicationServerKey.length !== 87) throw new Error("wrong options");
      const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
      const p256dh = base64url(await crypto.subtle.exportKey("raw", pair.publicKey));
      keep({ p256dh, auth: base64url(crypto.getRandomValues(new Uint8Array(16))) });
      return subscription();
    };
  });
  await page.reload();
  await page.waitForSelector('#connection[data-state="open"]');
}

/** A browser of its own, in which `script` runs before each page's own. */
async function prepared(script) {
  const context = await apart();
  await context.addInitScript(script);
  return context;
}

await run(
  [
    [
      "who is mentioned is notified, and no other",
      async () => {
        ada = await user("feed", "Ada");
        bob = await user("feed", "Bob");
        for (const page of [ada, bob]) await shows(page, "#unread", ["0 unread"]);
        await post("@Bob look: <i>tea</i>");
        for (const page of [ada, bob]) await shows(page, "#posts li p:last-child", ["@Bob look: <i>tea</i>"]);
        await shows(bob, "#unread", ["1 unread"]);
        await shows(bob, "#inbox li > p:not(.quiet)", ["@Bob look: <i>tea</i>"]);
        await shows(bob, "#push", ["New: Ada mentioned you"]);
        await shows(ada, "#unread", ["0 unread"]);
        await shows(ada, "#inbox li", ["Nothing yet"]);
      },
    ],
    [
      "one is marked as read, and all are",
      async () => {
        await bob.getByRole("button", { name: "Mark as read" }).click();
        await shows(bob, "#unread", ["0 unread"]);
        for (const text of ["@Bob one", "@Bob and @Ada two", "@Bob three"]) await post(text);
        await shows(bob, "#unread", ["3 unread"]);
        await shows(ada, "#unread", ["0 unread"]); // one's own posts do not notify
        await bob.click("#all");
        await shows(bob, "#unread", ["0 unread"]);
      },
    ],
    [
      "a user marks no notification of another",
      async () => {
        await post("@Bob the kettle is on");
        await shows(bob, "#unread", ["1 unread"]);
        const [[id]] = await sql("select max(id) from feed.notifications");
        await call(ada, "feed/mark_read", { id });
        const [[unread]] = await sql("select count(*)::int from feed.notifications where read_at is null");
        assert.equal(unread, 1);
      },
    ],
    [
      "a push reaches the desktop of a user who looks at another page",
      async () => {
        await inBackground(bob);
        await post("@Bob tea is ready");
        await eventually(async () =>
          assert.equal(await bob.evaluate("notified"), "Ada mentioned you: @Bob tea is ready"),
        );
      },
    ],
    [
      "who has turned it on is notified by the service worker, of what the back end pushes, and once",
      async () => {
        const carol = await user("feed", "Carol");
        await subscribing(carol);
        await shows(carol, "#desktop", [""]);
        await carol.getByRole("button", { name: "Notify me" }).click();
        await shows(carol, "#desktop", [ON]);
        const stored = await sql("select user_id, endpoint from feed.push_subscriptions");
        assert.deepEqual(stored, [["Carol", "http://127.0.0.1:9/carol"]]);

        const { deliver, shown } = await workerOf(ada);
        const pushed = { id: 7, user: "Carol", title: "Ada mentioned you", body: "<img src=x> @Carol" };
        const ofAda = JSON.stringify({ ...pushed, id: 8, user: "Ada" });
        await deliver(JSON.stringify({ ...pushed, id: 6 })); // while she looks at the page, which shows it itself
        await hide(carol);
        await post("@Carol tea"); // which the page leaves to the service worker, although it is not looked at
        await shows(carol, "#unread", ["1 unread"]);
        assert.equal(await carol.evaluate("window.notified"), undefined);

        const address = carol.url();
        await carol.goto("about:blank"); // Ada's tab, which is open, is no page of Carol's
        await deliver(JSON.stringify(pushed));
        await deliver(ofAda);
        await deliver("no JSON");
        await eventually(async () =>
          assert.deepEqual(await shown(), [
            ["Ada mentioned you", "<img src=x> @Carol", "notification-7"],
            ["Notifications", "There is something new.", "notification-"],
          ]),
        );
        await carol.goto(address);
        await shows(carol, "#desktop", [ON]); // it is on still
        await carol.getByRole("button", { name: "Stop notifying me" }).click();
        await eventually(async () => assert.deepEqual(await sql("select * from feed.push_subscriptions"), []));
        await carol.close();
      },
    ],
    [
      "a browser that blocks notifications, or has none, shows a sentence about it",
      async () => {
        const blocked = await user("feed", "Dan", {
          where: await prepared(() => {
            Object.defineProperty(window.Notification, "permission", { value: "denied" });
          }),
        });
        await shows(blocked, "#desktop", [
          "This browser blocks notifications of this page. Its settings for this site allow them again.",
        ]);
        assert.equal(await blocked.getByRole("button", { name: "Notify me" }).count(), 0);
        const without = await user("feed", "Dan", { where: await prepared(() => delete window.Notification) });
        await shows(without, "#desktop", ["This browser has no notifications."]);
        const refusing = await user("feed", "Dan", {
          where: await prepared(() => {
            Object.defineProperty(window.Notification, "permission", { value: "default" });
            window.Notification.requestPermission = async () => "default";
          }),
        });
        await refusing.getByRole("button", { name: "Notify me" }).click();
        await shows(refusing, "#desktop", ["You have not allowed notifications."]);
        for (const page of [blocked, without, refusing]) await page.context().close();
      },
    ],
    [
      "an alert is for one user, stays in its inbox, and is closed",
      async () => {
        await sql("select feed.alert('Bob', 'Your card expires tomorrow')");
        await shows(bob, "#alert p", ["Your card expires tomorrow"]);
        await shows(bob, "#inbox li.alert b", ["Alert from the operators"]);
        await eventually(async () => assert.equal(await bob.evaluate("notified"), "Alert: Your card expires tomorrow"));
        await bob.getByRole("button", { name: "Close" }).click();
        await shows(bob, "#alert p", []);
        await shows(ada, "#inbox li.alert", []);
      },
    ],
    [
      "an announcement reaches all, and who comes later",
      async () => {
        await sql("select feed.announce('Maintenance at 18:00')");
        for (const page of [ada, bob]) await shows(page, "#announcement", ["Maintenance at 18:00"]);
        await ada.reload();
        await shows(ada, "#announcement", ["Maintenance at 18:00"]);
      },
    ],
    [
      "the channel of another user is closed, and announcements are not for users to make",
      async () => {
        assert.equal(await refused(ada, "subscribe", "private:user-Bob"), "RT_003");
        assert.equal(await refused(ada, "publish", "private:user-Bob", "mention"), "RT_003");
        assert.equal(await refused(ada, "publish", "public:announcements", "announcement"), "RT_003");
      },
    ],
  ],
  () => ({ feed: bob }),
);
