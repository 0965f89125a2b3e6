// Live queries in components: what is asked of the server, and what is shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { act, useState } from "react";
import { renderToString } from "react-dom/server";
import { RealtimeProvider, useConnectionState, useQuery, type QueryResult } from "../src/index.js";
import { FakeServer } from "../../js/test/fake_server.js";
import { added, sendSnapshot } from "../../js/test/helpers.js";
import { Page } from "./page.js";

const shown = ({ docs, status, strategy, error }: QueryResult<unknown>): string =>
    [status, docs.map(({ id }) => id).join(""), strategy, error?.code].join(" ").trim();

function List({ room = "a" }: { room?: string }) {
    return <p>{shown(useQuery((db) => db.collection("c").where("room", "==", room).orderBy("at").limit(5)))}</p>;
}

/** The same query as that of `List`, written in another order. */
function Other() {
    return <p>{shown(useQuery((db) => db.collection("c").limit(5).orderBy("at").where("room", "==", "a")))}</p>;
}

for (const strict of [false, true])
    test(`equal queries share one subscription${strict ? " in StrictMode" : ""}`, async () => {
        const page = new Page(strict);
        page.show([<List key={1} />, <List key={2} />, <Other key={3} />]);
        assert.equal(page.text, "loadingloadingloading");
        await page.after(() => {
            page.server.peer.hello().subscribed("db:collection:c", { strategy: "incremental" });
            sendSnapshot(page.server.peer, "0/10", true, added("x", "y"));
        });
        assert.equal(page.text, "live xy incremental".repeat(3));
        page.show([<List key={1} />]);
        const { peer } = page.server;
        assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 0]);
        page.close();
    });

test("another query shows no rows of the one before", async () => {
    const page = new Page();
    const texts: string[] = [];
    function Switching({ room }: { room: string }) {
        const result = useQuery((db) => db.collection("c").where("room", "==", room));
        texts.push(`${room}: ${shown(result)}`);
        return null;
    }
    page.show(<Switching room="a" />);
    await page.after(() => {
        page.server.peer.hello().subscribed("db:collection:c");
        sendSnapshot(page.server.peer, "0/10", true, added("x"));
    });
    page.show(<Switching room="b" />);
    await page.after(() => {
        page.server.peer.subscribed("db:collection:c");
        sendSnapshot(page.server.peer, "0/20", true, added("y"));
    });
    assert.deepEqual([...new Set(texts)], ["a: loading", "a: live x", "b: loading", "b: live y"]);
    page.close();
});

test("a component that is mounted again has its rows at once; a second later nothing is left", async (context) => {
    const page = new Page();
    page.show(<List />);
    await page.after(() => {
        page.server.peer.hello().subscribed("db:collection:c");
        sendSnapshot(page.server.peer, "0/10", true, added("x"));
    });
    const { peer } = page.server;
    context.mock.timers.enable({ apis: ["setTimeout"] });
    page.show(null);
    context.mock.timers.tick(999);
    page.show(<List />);
    context.mock.timers.tick(5000);
    assert.deepEqual([page.text, peer.of("unsubscribe").length], ["live x", 0]);
    page.show(null);
    context.mock.timers.tick(1000);
    assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 1]);
    page.show(<List />);
    assert.deepEqual([page.text, peer.of("subscribe").length], ["loading", 2]);
    context.mock.timers.reset();
    page.close();
});

test("a refusal is an error, and the next component tries again", async () => {
    const page = new Page();
    const refuse = () => {
        const { id } = page.server.peer.of("subscribe").at(-1)!;
        page.server.peer.send({ type: "error", code: "RT_004", message: "no", channel: "db:collection:c", id });
    };
    page.show(<List />);
    page.server.peer.hello();
    await page.after(refuse);
    assert.equal(page.text, "error   RT_004");
    page.show(null);
    page.show(<List />);
    assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["loading", 2]);
    page.close();
});

test("without a query nothing is asked", () => {
    const page = new Page();
    function Maybe() {
        const [on, set] = useState(false);
        const result = useQuery(on ? (db) => db.collection("c") : null);
        return <button onClick={() => set(true)}>{shown(result)}</button>;
    }
    page.show(<Maybe />);
    page.server.peer.hello();
    assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["idle", 0]);
    act(() => page.element.querySelector("button")!.click());
    assert.deepEqual([page.text, page.server.peer.of("subscribe").length], ["loading", 1]);
    page.close();
});

test("on a server everything is loading, and no connection is opened", () => {
    const server = new FakeServer({ autoConnect: false });
    function State() {
        return <b>{useConnectionState().state}</b>;
    }
    const html = renderToString(
        <RealtimeProvider client={server.realtime}>
            <List />
            <State />
        </RealtimeProvider>,
    );
    assert.equal(html, "<p>loading</p><b>closed</b>");
    assert.deepEqual([server.peers.length, server.clock.waiting], [0, 0]);
});

test("hooks need a provider", () => {
    assert.throws(() => renderToString(<List />), /need a <RealtimeProvider/);
});

test("the state of the connection is shown with its reason", async () => {
    const page = new Page();
    function State() {
        const { state, reason } = useConnectionState();
        return <b>{[state, reason].join(" ").trim()}</b>;
    }
    page.show(<State />);
    assert.equal(page.text, "connecting");
    await page.after(() => page.server.peer.hello());
    assert.equal(page.text, "open");
    await page.after(() => page.server.peer.end(1006, "gone"));
    assert.match(page.text, /^offline/);
    page.close();
});
