// The game, as three players play it: node game.mjs URL FOLDER

import assert from "node:assert/strict";

import { eventually } from "../../support/eventually.mjs";
import { refused, run, shows, sql, user } from "./users.mjs";

let ada, bob, eve;
const place = (page, player) =>
  page.$eval(`[data-player="${player}"]`, ({ style }) => [parseFloat(style.left), parseFloat(style.top)]);

await run(
  [
    [
      "two players get seats in one room, and see each other",
      async () => {
        ada = await user("game", "Ada");
        bob = await user("game", "Bob");
        for (const page of [ada, bob]) {
          await shows(page, "#players li", ["Ada", "Bob"]);
          await page.waitForSelector(".coin");
        }
        await eventually(async () => assert.deepEqual(await place(bob, "Ada"), await place(ada, "Ada")));
        await eventually(async () => assert.deepEqual(await place(ada, "Bob"), await place(bob, "Bob")));
      },
    ],
    [
      "who moves is seen to move, and is where the last message has it",
      async () => {
        const before = await place(bob, "Ada");
        await ada.focus("#field");
        const key = before[0] < 50 ? "ArrowRight" : "ArrowLeft";
        for (let i = 0; i < 10; i++) await ada.keyboard.press(key);
        await eventually(async () => assert.deepEqual(await place(bob, "Ada"), await place(ada, "Ada")));
        assert.ok(Math.abs((await place(bob, "Ada"))[0] - before[0]) >= 2);
      },
    ],
    [
      "who reaches a coin has it, and leads",
      async () => {
        await sql("update game.coins set x = 50, y = 50 where id = (select min(id) from game.coins)");
        await ada.locator("#field").click({ position: { x: 10, y: 10 } });
        await ada.locator("#field").click();
        await eventually(async () => {
          const [[score]] = await sql("select score from game.scores where player = 'Ada'");
          assert.ok(score >= 1);
          for (const page of [ada, bob])
            assert.deepEqual(await page.locator("#best .me, #best li").first().locator("span").allTextContents(), [
              "Ada",
              String(score),
            ]);
        });
      },
    ],
    [
      "what a player writes is read by all in the room, and markup in it is only text",
      async () => {
        await bob.fill("#text", "Mine is <b>the last</b>");
        await bob.press("#text", "Enter");
        for (const page of [ada, bob]) await shows(page, "#chat p", ["Bob Mine is <b>the last</b>"]);
        const [[room]] = await sql("select room from game.seats where player = 'Bob'");
        assert.equal(await refused(bob, "publish", room, "chat", { text: "a".repeat(201) }), "RT_007");
      },
    ],
    [
      "a full room takes no fifth player: it gets another room, and cannot enter the first",
      async () => {
        for (const name of ["Cleo", "Dan"]) await sql(`select game.join('${name}', '{}')`);
        eve = await user("game", "Eve");
        await shows(eve, "#players li", ["Eve"]);
        const [[room]] = await sql("select room from game.seats where player = 'Ada'");
        assert.equal(await refused(eve, "subscribe", room), "RT_003");
        assert.equal(await refused(ada, "publish", room, "message"), "RT_003");
      },
    ],
    [
      "of two who ask for one coin one gets it",
      async () => {
        const [[coin]] = await sql(
          "select max(id) from game.coins where room = (select room from game.seats where player = 'Eve')",
        );
        const [[first]] = await sql(`select game.collect('Eve', '{"coin": ${coin}}')`);
        const [[second]] = await sql(`select game.collect('Eve', '{"coin": ${coin}}')`);
        assert.deepEqual([first, second], [true, false]);
      },
    ],
  ],
  () => ({ game: ada }),
);
