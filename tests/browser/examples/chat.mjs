// The live chat, as Ada and Bob use it: node chat.mjs URL FOLDER

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import { eventually } from "../../support/eventually.mjs";
import { call, during, refused, run, shows, sql, user, visitor, withoutToken } from "./users.mjs";

let ada, bob, list, signIn;
const bodies = "#messages .body";
const last = (page) => page.locator("#messages > li").last();

const send = async (page, text) => {
  await page.fill("#body", text);
  await page.press("#body", "Enter");
};

await run(
  [
    [
      "two tabs are two users, who see each other",
      async () => {
        ada = await user("chat", "Ada");
        bob = await user("chat", "Bob");
        for (const page of [ada, bob]) await shows(page, "#people li", ["Ada", "Bob"]);
      },
    ],
    [
      "who types is shown until the message is there, and markup in it is only text",
      async () => {
        await ada.locator("#body").pressSequentially("Hel");
        await shows(bob, "#typing", ["Ada is typing…"]);
        await send(ada, "Hello <b>Bob</b>");
        for (const page of [ada, bob]) await shows(page, bodies, ["Hello <b>Bob</b>"]);
        await shows(bob, "#typing", [""]);
      },
    ],
    [
      "the sender sees who has read it",
      async () => {
        await shows(ada, "#messages .receipt", ["Read by Bob"]);
        await send(bob, "Hello Ada");
        await shows(bob, "#messages .receipt", ["Read by Ada"]);
      },
    ],
    [
      "a reaction is there for all, and is taken back by a second press",
      async () => {
        const react = last(ada).locator("button").first();
        await react.click();
        await eventually(async () => assert.equal(await last(bob).locator("button").first().textContent(), "+1 (1)"));
        await react.click();
        await eventually(async () => assert.equal(await last(bob).locator("button").first().textContent(), "+1"));
      },
    ],
    [
      "one's own message is edited in place, and no other",
      async () => {
        await ada.getByRole("button", { name: "Edit" }).click();
        await ada.getByLabel("Edited message").fill("Hello Bob");
        await ada.keyboard.press("Enter");
        for (const page of [ada, bob]) await shows(page, bodies, ["Hello Bob", "Hello Ada"]);
        assert.equal(await ada.getByRole("button", { name: "Edit" }).count(), 1);
        const id = await bob.locator("#messages > li").first().getAttribute("data-id");
        assert.deepEqual(await call(bob, "chat/edit", { id, body: "Changed" }), {
          error: "You can edit your own messages only.",
        });
      },
    ],
    [
      "a file is a message that refers to it, and is loaded when it is asked for",
      async () => {
        await ada.setInputFiles("#file", { name: "tea.txt", mimeType: "text/plain", buffer: Buffer.from("Earl Grey") });
        const file = bob.getByRole("button", { name: "tea.txt (1 KB)" });
        const download = bob.waitForEvent("download");
        await file.click();
        assert.equal(await readFile(await (await download).path(), "utf8"), "Earl Grey");
      },
    ],
    [
      "older messages come by pages",
      async () => {
        await sql(
          "insert into chat.messages (id, room, author, body, created_at) " +
            "select gen_random_uuid(), 'lounge', 'Cleo', 'Old ' || n, now() - interval '1 day' + n * interval '1 minute' " +
            "from generate_series(1, 30) n",
        );
        await eventually(async () => assert.equal(await ada.locator("#messages > li").count(), 20));
        await ada.click("#older");
        await eventually(async () => assert.equal(await ada.locator("#messages > li").count(), 33));
        assert.equal(await ada.locator("#older").isVisible(), false);
        assert.equal(await ada.locator(bodies).first().textContent(), "Old 1");
      },
    ],
    [
      "clients publish nothing by themselves, and without a token there is no connection",
      async () => {
        assert.equal(await refused(bob, "publish", "chat:lounge", "message"), "RT_003");
        list = await visitor("/");
        signIn = await visitor("/chat/");
        await during(/401|WebSocket|4401/, async () => assert.equal(await withoutToken(list), "RT_002"));
      },
    ],
    [
      "a new message is scrolled to",
      async () => {
        await send(bob, "Did you see the list of teas?");
        await eventually(async () => assert.match(await last(ada).textContent(), /list of teas/));
        const [list, item] = [await ada.locator("#messages").boundingBox(), await last(ada).boundingBox()];
        assert.ok(item.y >= list.y && item.y + item.height <= list.y + list.height + 1);
        await last(ada).locator("button").nth(1).click();
        await eventually(async () => assert.match(await last(ada).textContent(), /\(1\)/));
      },
    ],
  ],
  () => ({ chat: ada, list, "sign-in": signIn }),
);
