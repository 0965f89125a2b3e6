// Pages of a live query in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { act } from "react";
import { renderToString } from "react-dom/server";
import { RealtimeProvider, usePages } from "../src/index.js";
import { FakeServer } from "../../js/test/fake_server.js";
import { accept, limits, refuse } from "../../js/test/helpers.js";
import { Page } from "./page.js";

function Paged({ room = "a" }: { room?: string | null }) {
    const list = usePages((db) => (room ? db.collection("c").where("room", "==", room).orderBy("at") : null), 2);
    const { docs, status, error, hasMore, loadMore } = list;
    const shown = [status, docs.map(({ id }) => id).join(""), hasMore ? "more" : "", error?.code];
    return <button onClick={loadMore}>{shown.filter(Boolean).join(" ")}</button>;
}

const press = (page: Page): void => act(() => page.element.querySelector("button")!.click());

for (const strict of [false, true])
    test(`components share what is loaded${strict ? " in StrictMode" : ""}`, async () => {
        const page = new Page(strict);
        page.show([<Paged key={1} />, <Paged key={2} />]);
        press(page); // before there is a page
        await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
        assert.equal(page.text, "live xy more".repeat(2));
        press(page);
        press(page); // while one is loaded
        await page.after(() => accept(page, "0/20", "x", "y", "z"));
        assert.equal(page.text, "live xyz".repeat(2));
        assert.deepEqual([limits(page), page.server.peer.of("unsubscribe").length], [[3, 5], 1]);
        page.close();
    });

test("a component that is mounted again has its pages at once; a second later nothing is left", async (context) => {
    const page = new Page();
    page.show(<Paged />);
    await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
    const { peer } = page.server;
    context.mock.timers.enable({ apis: ["setTimeout"] });
    page.show(null);
    context.mock.timers.tick(999);
    page.show(<Paged />);
    assert.deepEqual([page.text, peer.of("unsubscribe").length], ["live xy more", 0]);
    page.show(null);
    context.mock.timers.tick(1000);
    assert.deepEqual([limits(page), peer.of("unsubscribe").length], [[3], 1]);
    context.mock.timers.reset();
    page.close();
});

test("another query begins with its first page; without one nothing is asked", async () => {
    const page = new Page();
    page.show(<Paged />);
    await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
    page.show(<Paged room="b" />);
    assert.equal(page.text, "loading");
    await page.after(() => accept(page, "0/20", "u"));
    assert.equal(page.text, "live u");
    page.show(<Paged room={null} />);
    assert.deepEqual([page.text, limits(page)], ["idle", [3, 3]]);
    page.close();
});

test("after a page that was refused the list is live, and loads it again", async () => {
    const page = new Page();
    page.show(<Paged />);
    await page.after(() => (page.server.peer.hello(), accept(page, "0/10", "x", "y", "z")));
    press(page);
    await page.after(() => refuse(page));
    assert.equal(page.text, "live xy more RT_004");
    press(page);
    await page.after(() => accept(page, "0/20", "x", "y", "z"));
    assert.deepEqual([page.text, limits(page)], ["live xyz", [3, 5, 5]]);
    page.close();
});

test("a refusal is an error, and the next component tries again; so is the end of the list", async () => {
    const page = new Page();
    page.show(<Paged />);
    page.server.peer.hello();
    await page.after(() => refuse(page));
    assert.equal(page.text, "error RT_004");
    page.show(null);
    page.show(<Paged />);
    assert.equal(page.text, "loading");
    await page.after(() => accept(page, "0/10", "x", "y", "z"));
    await page.after(() => refuse(page));
    assert.equal(page.text, "error xy RT_004");
    press(page);
    assert.deepEqual(limits(page), [3, 3]);
    page.close();
});

test("on a server it is loading, and no connection is opened", () => {
    const server = new FakeServer({ autoConnect: false });
    const html = renderToString(
        <RealtimeProvider client={server.realtime}>
            <Paged />
        </RealtimeProvider>,
    );
    assert.equal(html, "<button>loading</button>");
    assert.deepEqual([server.peers.length, server.clock.waiting], [0, 0]);
});
