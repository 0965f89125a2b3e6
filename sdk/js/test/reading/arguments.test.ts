// What JSON would drop or change, and names that are none: a TypeError at the call, in words of ours, and nothing is sent.

import assert from "node:assert/strict";
import { test } from "node:test";

import { messages } from "../../src/client/iterators.js";
import { RealtimeServer } from "../../src/client/server.js";
import { stringify } from "../../src/protocol/json.js";
import { subscribedChannel } from "../helpers.js";
import { reconnect } from "../helpers.js";

const cyclic: Record<string, unknown> = {};
cyclic.self = { again: cyclic };
class Mail {
  to = "ada";
}

/** Values that JSON has not, and the path and the words for each of them as the data of a message. */
const NO_JSON: [value: unknown, message: string][] = [
  [NaN, "data: a JSON value is expected, not NaN"],
  [{ price: { net: Infinity } }, "data.price.net: a JSON value is expected, not Infinity"],
  [() => 1, "data: a JSON value is expected, not () => 1"],
  [{ list: [1, Symbol("x")] }, "data.list.1: a JSON value is expected, not Symbol(x)"],
  [[1, undefined], "data.1: a JSON value is expected, not undefined"],
  [{ at: new Date(NaN) }, "data.at: a JSON value is expected, not Invalid Date"],
  [{ tags: new Set(["a"]) }, "data.tags: a JSON value is expected, not [object Set]"],
  [new Map([["a", 1]]), "data: a JSON value is expected, not [object Map]"],
  [{ later: Promise.resolve(1) }, "data.later: a JSON value is expected, not [object Promise]"],
  [cyclic, "data.self.again: a JSON value is expected, not [object Object]"],
];

test("a value that JSON has not is refused where it is given, with its path, and nothing is sent", async () => {
  const { server, channel } = await subscribedChannel({ presence: true });
  const query = server.realtime.database().collection("c");
  const rest = new RealtimeServer({ url: "http://test" });
  for (const [value, message] of NO_JSON) {
    const refused = { name: "TypeError", message };
    const at = (path: string): object => ({ name: "TypeError", message: message.replace("data", path) });
    await assert.rejects(channel.send("n", value), refused, message);
    await assert.rejects(channel.updatePresence({ field: value }), at("presence.field"), message);
    await assert.rejects(rest.channel("c").broadcast("n", value), refused, message);
    assert.throws(() => query.where("f", "==", value), at("where.0.2"), message);
    assert.throws(() => query.sql("select $1", [value]), at("params.0"), message);
    assert.throws(() => query.startAt(value), at("startAt.0"), message);
    assert.throws(() => server.realtime.channel("b", { presence: { field: value } }), at("presence.field"), message);
  }
  assert.deepEqual([...server.peer.of("message"), ...server.peer.of("presence:update")], []);
});

test("what JSON has is sent as it was, with integers of any size", () => {
  const same = { a: 1 };
  const whole = [
    [{ a: undefined, b: null, c: [] }, '{"b":null,"c":[]}'],
    [[same, same, { same }, new Mail(), Object.create(null)], '[{"a":1},{"a":1},{"same":{"a":1}},{"to":"ada"},{}]'],
    [{ at: new Date(0), n: 12345678901234567890n, s: Object("x") }, '{"at":"1970-01-01T00:00:00.000Z","n":12345678901234567890,"s":"x"}'], // prettier-ignore
  ];
  for (const [value, text] of whole) assert.equal(stringify(value), text);
});

test("what an application changes after the call ends no connection", async () => {
  const { server } = await subscribedChannel();
  const values = [1];
  server.realtime
    .database()
    .collection("c")
    .where("f", "in", values)
    .onSnapshot(() => {});
  values.push(NaN);
  const { query } = (await reconnect(server)).of("subscribe").at(-1)!;
  assert.deepEqual(query, { where: [["f", "in", [1, null]]] });
});

test("a name that is none, and options that are none, are a TypeError", async () => {
  const { server, channel } = await subscribedChannel();
  const { realtime } = server;
  const database = realtime.database();
  const rest = new RealtimeServer({ url: "http://test" });
  const not = (name: string, value: string): string => `${name}: a non-empty string is expected, not ${value}`;
  const options = "options: an object is expected, not null";
  const trace = { traceparent: "nonsense" };
  const wrong: [message: string, call: () => unknown][] = [
    [not("channel", "undefined"), () => realtime.channel(undefined as never)],
    [not("channel", ""), () => realtime.channel("")],
    [not("channel", "5"), () => realtime.channel(5 as never)],
    [not("collection", "undefined"), () => database.collection(undefined as never)],
    [not("collection", ""), () => database.collection("")],
    [not("event", "5"), () => channel.on(5 as never, () => {})],
    [not("event", ""), () => channel.on("", () => {})],
    [not("event", "undefined"), () => channel.off(undefined as never)],
    ["e: a function is expected, not undefined", () => channel.on("e", undefined as never)],
    ["e: a function is expected, not 5", () => channel.off("e", 5 as never)],
    [not("event", "undefined"), () => channel.send(...([undefined] as unknown as ["e"]))],
    [not("position", "undefined"), () => realtime.whenSeen(undefined as never)],
    [
      "where.0.1: a JSON value is expected, not undefined",
      () => database.collection("c").where(...(["title"] as unknown as ["t", "==", 1])),
    ],
    ["where.0.2: a JSON value is expected, not undefined", () => database.collection("c").where("t", "==", undefined)],
    [not("channel", "undefined"), () => rest.channel(undefined as never)],
    [not("channel", "undefined"), () => rest.getRoom(undefined as never)],
    [not("userId", "undefined"), () => rest.disconnectUser(undefined as never)],
    [not("userId", "undefined"), () => rest.channel("c").kick(undefined as never)],
    [not("connectionId", "undefined"), () => rest.disconnect(undefined as never)],
    [not("event", "undefined"), () => rest.broadcast(undefined as never)],
    [options, () => realtime.channel("b", null as never)],
    [options, () => channel.send("n", 1, null as never)],
    [options, () => messages(channel, "n", null as never)],
    [options, () => rest.channel("c").broadcast("n", 1, null as never)],
    ['options: an object without "channel" is expected', () => channel.send("n", 1, { channel: "b" } as never)],
    ["traceparent: a W3C traceparent is expected, not nonsense", () => channel.send("n", 1, trace)],
    ["traceparent: a W3C traceparent is expected, not nonsense", () => rest.channel("c").broadcast("n", 1, trace)],
    ["presence: an object is expected, not away", () => channel.updatePresence("away" as never)],
    [
      "presence: true, false or an object is expected, not yes",
      () => realtime.channel("b", { presence: "yes" as never }),
    ],
    ["history: a whole number from 0 is expected, not 5", () => realtime.channel("b", { history: "5" as never })],
    ["filter: an object is expected, not a", () => realtime.channel("b", { filter: ["a"] as never })],
    [
      "options: an object is expected, not true",
      () => database.collection("c").onSnapshot(() => {}, undefined, true as never),
    ],
  ];
  for (const [message, call] of wrong)
    await assert.rejects(async () => await call(), { name: "TypeError", message }, message);
  assert.deepEqual(server.peer.of("message"), []);
});
