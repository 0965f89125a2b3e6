// Notifications and activity feed, as Ada and Bob use them: node feed.mjs URL FOLDER

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { call, inBackground, refused, run, shows, sql, user } from "./users.mjs";

let ada, bob;

const post = async (text) => {
  await ada.fill("#body", text);
  await ada.press("#body", "Enter");
};

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
