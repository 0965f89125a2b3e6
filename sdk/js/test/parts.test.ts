// The small parts, each by itself.

import assert from "node:assert/strict";
import { test } from "node:test";

import { requestPause } from "../src/core/backoff.js";
import { equal } from "../src/core/equal.js";
import { randomHex, uuid } from "../src/core/ids.js";
import { stringify } from "../src/protocol/json.js";
import { SendQueue } from "../src/core/send_queue.js";
import type { ClientMessage } from "../src/protocol/wire.js";
import { Pacer } from "../src/core/pacer.js";
import { compare } from "../src/core/position.js";
import { PresenceState } from "../src/core/presence.js";
import { RealtimeServer } from "../src/client/server.js";
import { endpoint } from "../src/client/settings.js";
import { parser } from "../src/transports/sse.js";
import { randomOf } from "./random.js";

const SIZE = 131072;

test("positions are compared part by part, as numbers", () => {
  const ordered = ["0/9", "0/10", "0/FFFFFFFF", "1/0", "1/A", "1/A/0", "1/A/9", "1/A/10", "1/B", "10/0", "A0/0"];
  for (const [place, a] of ordered.entries())
    for (const [other, b] of ordered.entries())
      assert.equal(Math.sign(compare(a, b)), Math.sign(place - other), `${a} ${b}`);
});

test("a request is repeated after a random pause", () => {
  const pauses = Array.from({ length: 20 }, () => requestPause(1));
  assert.ok(pauses.every((pause) => pause >= 0 && pause <= 1200));
  assert.ok(new Set(pauses).size > 1);
});

test("JSON values are equal whatever the order of their keys", () => {
  assert.ok(equal({ a: [1, { b: null }], c: "x" }, { c: "x", a: [1, { b: null }] }));
  for (const [a, b] of [
    [{ a: 1 }, { a: 1, b: 1 }],
    [{ a: 1 }, { b: 1 }],
    [
      [1, 2],
      [2, 1],
    ],
    [[], {}],
    [null, {}],
    [0, "0"],
    [{ a: undefined }, { b: 1 }],
  ])
    assert.ok(!equal(a, b), JSON.stringify([a, b]));
});

test("a bigint is written as a number with all its digits, whatever strings are beside it", () => {
  const value = { a: [1, "2n", 'x"bigint 3'], b: { c: -99999999999999999999999999n }, d: 9007199254740993n };
  assert.equal(
    stringify(value),
    '{"a":[1,"2n","x\\"bigint 3"],"b":{"c":-99999999999999999999999999},"d":9007199254740993}',
  );
  assert.equal(stringify({ a: undefined, b: [0.5] }), '{"b":[0.5]}');
  const circular: any = {};
  circular.self = circular;
  assert.throws(() => stringify(circular), TypeError);
});

test("ids are well formed and different", () => {
  assert.match(uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(Array.from({ length: 100 }, uuid)).size, 100);
  assert.match(randomHex(16), /^[0-9a-f]{32}$/);
});

test("an address gets the endpoint's path, once", () => {
  const expected = {
    "http://a": "http://a/realtime",
    "https://a/": "https://a/realtime",
    "wss://a:1/realtime": "https://a:1/realtime",
    "http://a/b": "http://a/b/realtime",
  };
  for (const [given, wanted] of Object.entries(expected)) assert.equal(endpoint(given).href, wanted);
});

test("the client of servers refuses an address that is none when it is made", () => {
  assert.throws(
    () => new RealtimeServer({ url: "localhost:1" }),
    /^TypeError: url: an address like https:\/\/host is expected, not localhost:1/,
  );
  new RealtimeServer({ url: "http://localhost:1" });
});

const message = (data: unknown = null): ClientMessage => ({ type: "message", channel: "c", data });

test("the send queue sends in order, again on another connection, until it is answered", async () => {
  const queue = new SendQueue(10);
  const [a, b] = [queue._add(message("a"), true, SIZE), queue._add(message("b"), true, SIZE)];
  const next = (): string | undefined => {
    const text = queue._next();
    return text && JSON.parse(text).data;
  };
  assert.deepEqual([next(), next(), next()], ["a", "b", undefined]);
  queue._restart();
  assert.deepEqual([next(), next(), next()], ["a", "b", undefined]);
  queue._answered("1", { type: "ack", channel: "c", ref: "1", id: "x" });
  assert.equal((await a).id, "x");
  queue._again("2");
  assert.deepEqual([next(), next()], ["b", undefined]);
  queue._fail("over");
  await assert.rejects(b, { code: "RT_001", message: "over" });
});

test("the send queue refuses what is too large, and what is too much without a connection", async () => {
  const queue = new SendQueue(2);
  await assert.rejects(queue._add({ type: "message", channel: "c", data: "é".repeat(50) }, true, 100), {
    code: "RT_005",
    channel: "c",
  });
  void queue._add(message(), false, SIZE);
  void queue._add(message(), false, SIZE);
  await assert.rejects(queue._add(message(), false, SIZE), { code: "RT_001" });
  void queue._add(message(), true, SIZE);
});

test("what is changed after it was sent is not sent", () => {
  const queue = new SendQueue(1);
  const data = { text: "before" };
  void queue._add(message(data), false, SIZE);
  data.text = "after";
  assert.equal(JSON.parse(queue._next()!).data.text, "before");
});

test("however the network holds messages up, the server's bucket never runs empty", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = randomOf(seed);
    const pacer = new Pacer(100, 0);
    let tokens = 100;
    let serverAt = 0;
    let onTheWay = 0;
    for (let now = 0; now < 5000; now += 1 + random(30)) {
      while (pacer._wait(now) <= 0) {
        pacer._sent();
        onTheWay++;
      }
      if (random(20)) continue; // held up
      tokens = Math.min(100, tokens + ((now - serverAt) / 1000) * 100) - onTheWay;
      serverAt = now;
      assert.ok(tokens >= 0, `seed ${seed} at ${now} ms: ${tokens}`);
      while (onTheWay) {
        onTheWay--;
        pacer._answered();
      }
    }
  }
});

test("presence reports each real change once", () => {
  const user = (id: string, status?: string): any => ({ id, name: null, metadata: {}, state: { status } });
  const presence = new PresenceState();
  const names = (events: [string, any][]): string[] => events.map(([event, { id }]) => `${event.slice(9)} ${id}`);
  assert.deepEqual(names(presence._replace([user("a"), user("b")])), ["join a", "join b"]);
  assert.deepEqual(names(presence._apply({ type: "presence:join", channel: "c", user: user("b") })), []);
  assert.deepEqual(names(presence._apply({ type: "presence:update", channel: "c", user: user("b", "away") })), [
    "update b",
  ]);
  assert.deepEqual(names(presence._replace([user("b", "away"), user("c")])), ["leave a", "join c"]);
  assert.deepEqual(
    names(presence._replace([{ ...user("b", "away"), lastSeen: "2026-01-01T00:00:00Z" }, user("c")])),
    [],
  );
  assert.deepEqual(names(presence._apply({ type: "presence:leave", channel: "c", user: user("a") })), []);
  assert.deepEqual([presence._current().users.map(({ id }) => id), presence._current().count], [["b", "c"], 2]);
});

test("a stream of events is read the same wherever it is cut", () => {
  const stream =
    'retry: 1000\n\n: ping\n\nid: 0/1;e\nevent: message\ndata: {"a":1}\n\ndata:{"b":2}\r\n\r\nid: 0/2\n\ndata: [3]\n\n';
  for (let cut = 0; cut <= stream.length; cut++) {
    const events: unknown[] = [];
    const parse = parser((data) => events.push(JSON.parse(data)));
    parse(stream.slice(0, cut));
    parse(stream.slice(cut));
    assert.deepEqual(events, [{ a: 1 }, { b: 2 }, [3]], `cut at ${cut}`);
  }
});
