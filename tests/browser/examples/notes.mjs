// Collaborative editing, as Ada, Bob and others do it: node notes.mjs URL FOLDER

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { apart, call, during, killServer, refused, run, shows, sql, user } from "./users.mjs";

const WELCOME = "00000000-0000-4000-8000-000000000001";
const OFFLINE = "Offline: what you write is kept here, and merged when you are back.";
/** What Chromium reports of requests and WebSockets without a network, or without a server. */
const NO_NETWORK = /net::ERR_|WebSocket connection|status of 503/;

let ada, bob, cleo;
const alone = await apart(); // Cleo's, whose network comes and goes

const editor = (page) => page.locator("#editor .cm-content");

/** An editor's text, without the names of others in it. */
const textOf = (page) =>
  editor(page).evaluate((content) => {
    const lines = [...content.querySelectorAll(".cm-line")].map((line) => line.cloneNode(true));
    for (const line of lines) for (const own of line.querySelectorAll(".peer-caret, .cm-placeholder")) own.remove();
    return lines.map((line) => line.textContent).join("\n");
  });

const opened = async (name, { id = WELCOME, ...where } = {}) => {
  const page = await user("notes", name, { ...where, hash: `#${id}` });
  await page.waitForSelector(`#editor[data-document="${id}"]`);
  return page;
};

/** Type at the end of the text, or with "Control+Home" at its beginning. */
const type = async (page, text, place = "Control+End") => {
  await editor(page).focus();
  await page.keyboard.press(place);
  await page.keyboard.type(text);
};

const status = (page, text) => shows(page, "#status", [text]);
const saved = (page) => status(page, "All changes are saved.");

/** The browser has stored what was written: a transaction that follows has ended. */
const kept = (page, id) =>
  page.evaluate(
    (name) =>
      new Promise((resolve) => {
        window.indexedDB.open(name).onsuccess = ({ target: { result: database } }) => {
          database.transaction("updates", "readwrite").oncomplete = () => (database.close(), resolve());
        };
      }),
    `notes:Cleo:${id}`,
  );

/** All editors have one text, for which `holds` is true. */
const converge = (pages, holds) =>
  eventually(async () => {
    const texts = await Promise.all(pages.map(textOf));
    for (const text of texts) assert.equal(text, texts[0]);
    assert.ok(holds(texts[0]), texts[0]);
  });

const has =
  (...parts) =>
  (text) =>
    parts.every((part) => text.includes(part));

/** Replace the whole text. */
const rewrite = async (page, text) => {
  await editor(page).focus();
  await page.keyboard.press("Control+a");
  await page.keyboard.type(text);
};

/** The second of two updates, which builds on the first, as a page would send it. */
const second = async () => {
  const { Doc } = await import("../../../examples/node_modules/yjs/dist/yjs.mjs");
  const [document, updates] = [new Doc(), []];
  document.on("update", (update) => updates.push(update));
  for (const letter of "ab") document.getText("text").insert(0, letter);
  return Buffer.from(updates[1]).toString("base64");
};

/** Up to where the messages of a document are merged. */
const mergedTo = async (id) => (await sql(`select position from notes.states where document = '${id}'`))[0][0];

await run(
  [
    [
      "two who type at the same time have one text",
      async () => {
        ada = await opened("Ada");
        bob = await opened("Bob");
        for (const page of [ada, bob]) await shows(page, "#people .name", ["Ada", "Bob"]);
        await type(ada, "Shopping list");
        await converge([ada, bob], (text) => text === "Shopping list");
        await Promise.all([type(ada, "Our ", "Control+Home"), type(bob, " for tea")]);
        await converge([ada, bob], (text) => text === "Our Shopping list for tea");
        await saved(ada);
      },
    ],
    [
      "three who type in the same place have one text with all letters in it",
      async () => {
        cleo = await opened("Cleo", { where: alone });
        await Promise.all([type(ada, "aaaaaa"), type(bob, "bbbbbb"), type(cleo, "cccccc")]);
        const letters = (text) => [...text.slice("Our Shopping list for tea".length)].sort().join("");
        await converge([ada, bob, cleo], (text) => letters(text) === "aaaaaabbbbbbcccccc");
      },
    ],
    [
      "a selection and a caret are shown to others, and stay with their words",
      async () => {
        await rewrite(ada, "Milk, tea and bread");
        await converge([ada, bob, cleo], (text) => text === "Milk, tea and bread");
        await ada.keyboard.press("Control+Home");
        for (let i = 0; i < 4; i++) await ada.keyboard.press("Shift+ArrowRight");
        await shows(bob, "#editor .peer-selection", ["Milk"]);
        await eventually(async () =>
          assert.ok((await bob.locator("#editor .peer-caret .peer-name").allTextContents()).includes("Ada")),
        );
        await type(bob, "Fresh ", "Control+Home");
        await bob.keyboard.press("Enter");
        await shows(cleo, "#editor .peer-selection", ["Milk"]);
        await eventually(async () => assert.match(await bob.locator('[data-person="Ada"]').textContent(), /line 2/));
      },
    ],
    [
      "what one wrote offline is merged with what the others wrote meanwhile",
      () =>
        during(NO_NETWORK, async () => {
          await saved(cleo);
          await alone.setOffline(true);
          await status(cleo, OFFLINE);
          await type(cleo, ", and coffee");
          await type(ada, "Our list: ", "Control+Home");
          await type(bob, ", and salt");
          await converge([ada, bob], has("Our list: ", ", and salt"));
          assert.ok(!(await textOf(ada)).includes("coffee"));
          await alone.setOffline(false);
          await converge([ada, bob, cleo], has("Our list: ", ", and salt", ", and coffee"));
          await saved(cleo);
        }),
    ],
    [
      "what one wrote offline is not lost with the tab",
      () =>
        during(NO_NETWORK, async () => {
          await alone.setOffline(true);
          await status(cleo, OFFLINE);
          await type(cleo, ", and plums");
          await kept(cleo, WELCOME);
          await cleo.close();
          await alone.setOffline(false);
          cleo = await opened("Cleo", { where: alone });
          await converge([ada, bob, cleo], has(", and plums"));
        }),
    ],
    [
      "many messages are merged into a state, from which a late joiner has the same text",
      async () => {
        const before = await mergedTo(WELCOME);
        for (let i = 0; i < 60; i++) {
          await type(ada, String(i % 10));
          await saved(ada); // so each is a message
        }
        const dan = await opened("Dan");
        await converge([ada, bob, dan], has(", and plums"));
        const merged = await mergedTo(WELCOME);
        assert.notEqual(merged, before);
        // The state has them by itself, and what was written after it comes on top.
        await type(bob, ", and figs");
        await saved(bob);
        await sql(
          `delete from realtime.messages m using realtime.history('notes:${WELCOME}', before => '${merged}', "limit" => 10000) h ` +
            "where m.seq = h.seq and m.inserted_at = h.inserted_at",
        );
        await dan.close();
        const eve = await opened("Eve");
        await converge([ada, bob, eve], has(", and plums", ", and figs"));
        await eve.close();
      },
    ],
    [
      "the server is killed while they write: nothing is lost",
      () =>
        during(NO_NETWORK, async () => {
          const offline = [ada, bob, cleo].map((page) => status(page, OFFLINE));
          killServer();
          await Promise.all(offline);
          await Promise.all([type(ada, "Still ", "Control+Home"), type(bob, ", and rice")]);
          await converge([ada, bob, cleo], has("Still ", ", and rice"));
          for (const page of [ada, bob]) await saved(page);
        }),
    ],
    [
      "a text that is too large for a message goes by way of the state",
      async () => {
        const large = Array.from({ length: 4000 }, (_, i) => `Line ${i} of a long text that is pasted`).join("\n");
        await editor(ada).focus();
        await ada.keyboard.press("Control+End");
        await editor(ada).evaluate((content, text) => {
          const clipboardData = new window.DataTransfer();
          clipboardData.setData("text/plain", `\n${text}`);
          content.dispatchEvent(new window.ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }, large);
        await saved(ada);
        for (const page of [ada, bob]) {
          await editor(page).focus();
          await eventually(async () => {
            await page.keyboard.press("Control+End");
            assert.ok((await textOf(page)).endsWith("Line 3999 of a long text that is pasted"));
          });
        }
        await rewrite(bob, "Milk, tea and bread");
        await converge([ada, bob, cleo], (text) => text === "Milk, tea and bread");
        await saved(bob);
      },
    ],
    [
      "a version is listed for all; restored it is an edit, which can be undone, with a version of the text before it",
      async () => {
        await ada.fill("#version-name", "First list");
        await ada.press("#version-name", "Enter");
        for (const page of [ada, bob]) await shows(page, "#versions button", ["First list"]);
        await rewrite(bob, "Nothing to buy");
        await converge([ada, bob], (text) => text === "Nothing to buy");
        await ada.getByRole("button", { name: "First list" }).click();
        await shows(ada, "#preview-body", ["Milk, tea and bread"]);
        await ada.getByRole("button", { name: "Restore" }).click();
        await converge([ada, bob, cleo], (text) => text === "Milk, tea and bread");
        await shows(bob, "#versions button", ["Before “First list”", "First list"]);
        await ada.getByRole("button", { name: "Undo" }).click();
        await converge([ada, bob, cleo], (text) => text === "Nothing to buy");
        await ada.getByRole("button", { name: "Redo" }).click();
        await converge([ada, bob, cleo], (text) => text === "Milk, tea and bread");
      },
    ],
    [
      "the owner decides who edits: a reader sees all, and the server takes nothing of it",
      async () => {
        await ada.fill("#new-title", "Menu");
        await ada.press("#new-title", "Enter");
        await shows(ada, "#title", ["Menu"]);
        const id = await ada.evaluate(() => location.hash.slice(1));
        await ada.waitForSelector(`#editor[data-document="${id}"]`);
        await type(ada, "Soup");
        await ada.getByLabel("Everyone may edit").uncheck();
        await bob.getByRole("link", { name: "Menu" }).click();
        await converge([ada, bob], (text) => text === "Soup");
        await status(bob, "You may read this document.");
        await type(bob, " and salad");
        assert.equal(await textOf(bob), "Soup");
        assert.equal(await editor(bob).getAttribute("aria-readonly"), "true");
        assert.equal(await refused(bob, "publish", `notes:${id}`, "update", { update: "AAA=" }), "RT_003");
        assert.equal(await refused(bob, "publish", `notes:${id}`, "merged"), "RT_003");
        const forbidden = { error: "You may read this document, but not edit it." };
        assert.deepEqual(await call(bob, "notes/merge", { document: id, update: "AAA=" }), forbidden);
        assert.deepEqual(await call(bob, "notes/save", { document: id, name: "Mine", body: "" }), forbidden);
        assert.deepEqual(await call(bob, "notes/share", { document: id, everyone: true }), {
          error: "Only its owner decides who may edit a document.",
        });
        await ada.getByRole("button", { name: "Let edit" }).click();
        await saved(bob);
        await type(bob, " and salad");
        await converge([ada, bob], (text) => text === "Soup and salad");
      },
    ],
    [
      "who loses the right while it is offline keeps nothing that others do not have",
      () =>
        during(NO_NETWORK, async () => {
          const id = await ada.evaluate(() => location.hash.slice(1));
          await ada.locator('[data-person="Bob"] button').click(); // Bob reads from now on
          await ada.getByLabel("Everyone may edit").check();
          await cleo.evaluate((hash) => (location.hash = hash), id);
          await cleo.waitForSelector(`#editor[data-document="${id}"]`);
          await converge([ada, cleo], (text) => text === "Soup and salad");
          await alone.setOffline(true);
          await status(cleo, OFFLINE);
          await type(cleo, " and nothing else");
          await ada.getByLabel("Everyone may edit").uncheck();
          await status(bob, "You may read this document.");
          await alone.setOffline(false);
          await shows(cleo, "#problem", [
            "You may read this document, but not edit it. What you changed last is not saved.",
          ]);
          await converge([ada, bob, cleo], (text) => text === "Soup and salad");
        }),
    ],
    [
      "updates that are none are skipped",
      async () => {
        await ada.getByRole("link", { name: "Welcome" }).click();
        await ada.waitForSelector(`#editor[data-document="${WELCOME}"]`);
        assert.equal(await refused(ada, "publish", `notes:${WELCOME}`, "update", { update: "//8=" }), "allowed");
        assert.equal(await refused(ada, "publish", `notes:${WELCOME}`, "update", null), "allowed");
        const merge = (update) => call(ada, "notes/merge", { document: WELCOME, update });
        assert.deepEqual(await merge("//8="), { error: "That is no change of a document." });
        assert.deepEqual(await merge(await second()), {
          error: "The change builds on text that the server does not have.",
        });
        await bob.getByRole("link", { name: "Welcome" }).click();
        await bob.waitForSelector(`#editor[data-document="${WELCOME}"]`);
        await type(bob, "\n\nAnd a bottle of water for the way, please.");
        await converge(
          [ada, bob],
          (text) => text === "Milk, tea and bread\n\nAnd a bottle of water for the way, please.",
        );
        await bob.keyboard.press("Shift+Home");
        await shows(ada, "#editor .peer-selection", ["And a bottle of water for the way, please."]);
        await bob.getByRole("button", { name: "First list", exact: true }).click();
        await bob.waitForSelector("#preview[open]");
      },
    ],
  ],
  () => ({ notes: ada, "notes-version": bob }),
);
