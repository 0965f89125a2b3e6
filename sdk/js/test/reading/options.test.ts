// The values of a client's options: a wrong one is a TypeError with its name and what is expected.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";

import { messages } from "../../src/client/iterators.js";
import { Realtime } from "../../src/client/realtime.js";
import { Rest } from "../../src/client/rest.js";
import { RealtimeServer } from "../../src/client/server.js";
import { setDefaults } from "../../src/client/settings.js";
import { request } from "../../src/transports/http.js";
import type { Address } from "../../src/transports/transport.js";
import { subscribedChannel } from "../helpers.js";

const WRONG: [options: object, message: string][] = [
  [{ reconnectDelay: "x" }, "reconnectDelay: a number from 0 is expected, not x"],
  [{ maxReconnectAttempts: NaN }, "maxReconnectAttempts: a number from 0 is expected, not NaN"],
  [{ queueLimit: -1 }, "queueLimit: a number from 0 is expected, not -1"],
  [{ heartbeatInterval: -1 }, "heartbeatInterval: a number above 0 is expected, not -1"],
  [{ connectTimeout: 0 }, "connectTimeout: a number above 0 is expected, not 0"],
  [{ reconnect: "no" }, "reconnect: true or false is expected, not no"],
  [{ token: 5 }, "token: a string is expected, not 5"],
  [{ getToken: "x" }, "getToken: a function is expected, not x"],
  [{ token: "x", getToken: () => "x" }, "token: not with getToken"],
  [{ transports: ["ws"] }, "transports: a list of websocket, sse, polling is expected, not ws"],
  [{ transports: [] }, "transports: a list of websocket, sse, polling is expected, not "],
  [{ transports: "sse" }, "transports: a list of websocket, sse, polling is expected, not sse"],
  [{ format: "xml" }, "format: json or msgpack is expected, not xml"],
  [{ url: 5 }, "url: a string is expected, not 5"],
  [{ user: 5 }, "user: a string is expected, not 5"],
  [{ attributes: "x" }, "attributes: an object of strings, numbers, booleans and nulls is expected, not x"],
  [
    { attributes: { a: [1] } },
    "attributes: an object of strings, numbers, booleans and nulls is expected, not [object Object]",
  ],
  [{ WebSocket: "ws" }, "WebSocket: a function is expected, not ws"],
  [{ heartbeat: 1 }, 'options: an object without "heartbeat" is expected'],
  [{ url: "http://localhost:0" }, "url: a port from 1 is expected, not http://localhost:0"],
];

test("a wrong value of an option is a TypeError", () => {
  for (const [options, message] of WRONG)
    assert.throws(
      () => new Realtime({ url: "http://test", autoConnect: false, ...options }),
      { name: "TypeError", message },
      message,
    );
  const url = "http://localhost:0";
  assert.throws(() => new RealtimeServer({ url }), /^TypeError: url: a port/);
  assert.throws(
    () => new RealtimeServer({ apiKey: 5 as never }),
    /^TypeError: apiKey: a string of printable ASCII is expected, not number/,
  );
  assert.throws(
    () => new RealtimeServer({ timeout: "x" as never }),
    /^TypeError: timeout: a number above 0 and below 2e9 is expected, not x/,
  );
  const unknown = { message: 'options: an object without "x" is expected' };
  const rest = new RealtimeServer({ url: "http://test" });
  assert.throws(() => rest.channel("c", { x: 1 } as never), unknown);
  assert.throws(() => void rest.channel("c").history({ x: 1 } as never), unknown);
  assert.throws(() => setDefaults({ url }), /^TypeError: url: a port/);
});

test("undefined is an option that is not given, and bounds belong to the values", () => {
  new Realtime({
    url: "http://test",
    autoConnect: false,
    reconnectDelay: 0,
    maxReconnectAttempts: Infinity,
    transports: ["sse"],
    format: undefined as never,
    token: undefined as never,
    getToken: () => "x",
  });
});

test("why Node could not connect is in the error", async (context) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const url = `http://127.0.0.1:${port}`;
  const address = { _fetch: fetch } as Address;
  await assert.rejects(request(address, url, {}), { message: "ECONNREFUSED" });
  context.mock.method(Math, "random", () => 0); // without pauses
  await assert.rejects(new Rest({ url }).getConnections(), {
    code: "RT_001",
    message: `the server cannot be reached at ${url}/realtime: ECONNREFUSED`,
  });
});

test("an address in the place of the options is named as that", () => {
  const text = "options: an object is expected, not http://test";
  assert.throws(() => new Realtime("http://test" as never), { name: "TypeError", message: text });
});

test("a key that is not sent is logged, without the key", (context) => {
  const { mock } = context.mock.method(console, "warn", () => {});
  for (const apiKey of ["your-api-key", "sk_secret", "pk_1", undefined as never])
    new Realtime({ url: "http://test", autoConnect: false, apiKey });
  const warning = "[bunbase] apiKey: only a publishable key (pk_) is sent";
  assert.deepEqual(
    mock.calls.map(({ arguments: given }) => given as unknown[]),
    [[warning], [warning]],
  );
});

test("a listener that is no function is refused where it is added", () => {
  const realtime = new Realtime({ url: "http://test", autoConnect: false });
  const wrong = undefined as never;
  assert.throws(() => realtime.on("status", wrong), new TypeError("status: a function is expected, not undefined"));
  assert.throws(() => realtime.channel("c").on("n", wrong), new TypeError("n: a function is expected, not undefined"));
  const query = realtime.database().collection("c");
  assert.throws(() => query.onSnapshot(wrong), new TypeError("onNext: a function is expected, not undefined"));
  assert.throws(
    () => query.onSnapshot(() => {}, { meta: true } as never),
    new TypeError("onError: a function is expected, not [object Object]"),
  );
});

test("an argument that would be dropped, or mean something else, is a TypeError", async () => {
  const { channel } = await subscribedChannel();
  const realtime = new Realtime({ url: "http://test", autoConnect: false });
  const query = realtime.database().collection("c");
  const rest = new RealtimeServer({ url: "http://test" });
  const object = (value: string): string => `options: an object is expected, not ${value}`;
  const none = (name: string): string => `${name}: a JSON value is expected, not undefined`;
  const time = (value: string): string => `timeout: a number above 0 and below 2e9 is expected, not ${value}`;
  const wrong: [message: string, call: () => unknown][] = [
    [
      "overflow: error or drop-oldest is expected, not drop",
      () => messages(channel, "n", { overflow: "drop" as never }),
    ],
    ["buffer: a number from 1 is expected, not 0", () => messages(channel, "n", { buffer: 0 })],
    ["buffer: a number from 1 is expected, not NaN", () => messages(channel, "n", { buffer: NaN })],
    ['options: an object without "size" is expected', () => messages(channel, "n", { size: 1 } as never)],
    ["event: a non-empty string is expected, not [object Object]", () => messages(channel, { buffer: 5 } as never)],
    [object("50"), () => channel.history(50 as never)],
    [object("true"), () => realtime.channel("other", true as never)],
    [time("[object Object]"), () => query.get({ timeout: 5 } as never)],
    [time("Infinity"), () => query.count(Infinity)],
    [time("0"), () => realtime.whenSeen("0/1", 0)],
    [time("5"), () => realtime.whenSeen("0/1", "5" as never)],
    [time("5"), () => query.get("5" as never)],
    [time("5"), () => new RealtimeServer({ timeout: "5" as never })],
    [time("Infinity"), () => new RealtimeServer({ timeout: Infinity })],
    ["apiKey: a string of printable ASCII is expected, not string", () => new RealtimeServer({ apiKey: "a\nb" })],
    ["apiKey: a string of printable ASCII is expected, not number", () => setDefaults({ apiKey: 5 as never })],
    ["apiKey: a string of printable ASCII is expected, not string", () => setDefaults({ apiKey: "sk_a\nb" })],
    ["userId: a non-empty string is expected, not null", () => rest.getConnections({ userId: null as never })],
    ["userId: a non-empty string is expected, not 5", () => rest.getConnections({ userId: 5 as never })],
    ['options: an object without "user" is expected', () => rest.getConnections({ user: "ada" } as never)],
    [object("ada"), () => rest.getConnections("ada" as never)],
    ["limit: a whole number is expected, not null", () => rest.channel("c").history({ limit: null as never })],
    ["limit: a whole number is expected, not 5", () => rest.channel("c").history({ limit: "5" as never })],
    ["before: a position is expected, not 5", () => rest.channel("c").history({ before: 5 as never })],
    ["settings: an object is expected, not null", () => rest.createRoom("c", null as never)],
    ["settings: an object is expected, not undefined", () => rest.updateRoom("c", undefined as never)],
    ["n: a function is expected, not undefined", () => channel.off("n", undefined)],
    ["state: a function is expected, not undefined", () => realtime.off("state", undefined)],
    ["event: one of connected, disconnected, error, status, state, transport, message, gap is expected, not nope", () => realtime.off("nope")], // prettier-ignore
    ["limit: a whole number is expected, not undefined", () => query.limit(undefined as never)],
    ["limit: a whole number is expected, not NaN", () => query.limit(NaN)],
    [none("startAfter.0"), () => query.startAfter(undefined)],
    [none("endAt.1"), () => query.endAt(1, undefined)],
    [none("doc.0"), () => query.doc(undefined as never)],
    [object("50"), () => rest.channel("c").history(50 as never)],
    [object("5"), () => rest.channel("c", 5 as never)],
    [object("http://test"), () => new RealtimeServer("http://test" as never)],
  ];
  for (const [message, call] of wrong)
    await assert.rejects(async () => await call(), { name: "TypeError", message }, message);
  query.limit(1).startAfter(null).endAt("x", 1);
});

test("what is not given, and the end of a list, are no parameters of the REST API", async (context) => {
  const asked: string[] = [];
  context.mock.method(globalThis, "fetch", (address: string) => {
    asked.push(address.replace("http://test/realtime", ""));
    return Promise.resolve(Response.json({ connections: [], next: null, messages: [], before: null }));
  });
  const rest = new RealtimeServer({ url: "http://test" });
  await rest.getConnections({ userId: undefined as never });
  await rest.getConnections({ userId: "ada" });
  await rest.channel("c").history({ before: null });
  await rest.channel("c").history({ before: "0/1", limit: 5 });
  assert.deepEqual(asked, [
    "/connections?limit=1000",
    "/connections?userId=ada&limit=1000",
    "/channels/c/messages?limit=50",
    "/channels/c/messages?limit=5&before=0%2F1",
  ]);
});

test("a key of the environment that no header can carry is refused without the key, before any request", async (context) => {
  const fetched = context.mock.method(globalThis, "fetch", () => Promise.reject(new Error("not reached")));
  context.after(() => delete process.env.BUNBASE_REALTIME_KEY);
  for (const key of ["sk_a\nb", "sk_\u00e4\u20ac"]) {
    process.env.BUNBASE_REALTIME_KEY = key;
    const rest = new RealtimeServer({ url: "http://test" }); // as `realtime` is made when the module is loaded
    await assert.rejects(rest.getRoom("c"), {
      name: "TypeError",
      message: "apiKey: a string of printable ASCII is expected, not string",
    });
  }
  assert.equal(fetched.mock.callCount(), 0);
});
