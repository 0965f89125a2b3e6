// Channels and presence in components.

import assert from "node:assert/strict";
import { test } from "node:test";
import { useState } from "react";
import { useChannel, usePresence } from "../src/index.js";
import { Page } from "./page.js";

interface Events {
    n: number;
}

for (const strict of [false, true])
    test(`components share a channel, and the listeners of the last render are called${strict ? " in StrictMode" : ""}`, async () => {
        const page = new Page(strict);
        function Room({ factor }: { factor: number }) {
            const [last, set] = useState(0);
            const { status } = useChannel<Events>("room", { n: ({ data }) => set(data * factor) });
            return <p>{`${status} ${last} `}</p>;
        }
        page.show([<Room key={1} factor={1} />, <Room key={2} factor={2} />]);
        await page.after(() => page.server.peer.hello().subscribed("room"));
        await page.after(() => page.server.peer.message("room", 3));
        assert.equal(page.text, "subscribed 3 subscribed 6 ");
        page.show([<Room key={1} factor={1} />, <Room key={2} factor={10} />]);
        await page.after(() => page.server.peer.message("room", 4));
        assert.equal(page.text, "subscribed 4 subscribed 40 ");
        const { peer } = page.server;
        assert.deepEqual([peer.of("subscribe").length, peer.of("unsubscribe").length], [1, 0]);
        page.close();
    });

test("a channel that is refused is an error", async () => {
    const page = new Page();
    function Room() {
        const { status, error } = useChannel("room");
        return <p>{[status, error?.code].join(" ")}</p>;
    }
    page.show(<Room />);
    await page.after(() => {
        const { peer } = page.server;
        const { id } = peer.hello().of("subscribe")[0]!;
        peer.send({ type: "error", code: "RT_003", message: "no", channel: "room", id });
    });
    assert.equal(page.text, "error RT_003");
    page.close();
});

test("the users of a channel are kept, and the own presence is sent when it changes", async () => {
    const page = new Page();
    function Users({ color }: { color: string }) {
        const { users, status } = usePresence<{ color: string }>("room", { color });
        return <p>{`${status} ${users.map(({ id, state }) => `${id}:${state.color}`).join(",")}`}</p>;
    }
    const user = (id: string, color: string) => ({ id, name: null, metadata: {}, state: { color } });
    page.show(<Users color="red" />);
    const { peer } = page.server;
    await page.after(() => peer.hello().subscribed("room", { presence: { users: [user("ada", "red")], count: 1 } }));
    assert.equal(page.text, "subscribed ada:red");
    assert.deepEqual(peer.of("subscribe").map(({ presence }) => presence), [{ color: "red" }]); // prettier-ignore
    await page.after(() =>
        peer.send({ type: "presence:join", channel: "room", user: user("ben", "blue"), position: "0/20/0" }),
    );
    assert.equal(page.text, "subscribed ada:red,ben:blue");
    page.show(<Users color="green" />);
    await page.after(() => {});
    assert.deepEqual(peer.of("presence:update").map(({ data }) => data), [{ color: "green" }]); // prettier-ignore
    page.close();
});

test("users of a channel that was subscribed to without presence are an error", async (context) => {
    context.mock.method(console, "error", () => {});
    const page = new Page();
    function Room() {
        useChannel("room");
        const { users, status, error } = usePresence("room");
        return <p>{[status, users.length, error?.code].join(" ")}</p>;
    }
    page.show(<Room />);
    await page.after(() => page.server.peer.hello().subscribed("room"));
    assert.equal(page.text, "subscribed 0 RT_009");
    page.close();
});

test("a change of the own presence that was cut off is sent with the next subscription", async () => {
    const page = new Page();
    function Me({ color }: { color: string }) {
        return <p>{usePresence<{ color: string }>("room", { color }).status}</p>;
    }
    page.show(<Me color="red" />);
    await page.after(() => page.server.peer.hello().subscribed("room", { presence: { users: [], count: 0 } }));
    page.show(<Me color="blue" />);
    await page.after(() => page.server.realtime.disconnect());
    await page.after(() => page.server.realtime.connect());
    await page.after(() => page.server.peer.hello().subscribed("room", { presence: { users: [], count: 0 } }));
    const { peer } = page.server;
    assert.deepEqual(peer.of("subscribe").at(-1)!.presence, { color: "red" });
    assert.deepEqual(peer.of("presence:update").map(({ data }) => data), [{ color: "blue" }]); // prettier-ignore
    page.close();
});
