// What is sent survives whatever happens to connections, is paced, and fits the server's limits; what a
// server publishes by REST carries its trace context.

import assert from "node:assert/strict";
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";

import { RealtimeServer } from "../src/client/server.js";
import { polling } from "../src/transports/polling.js";
import { sse } from "../src/transports/sse.js";
import { flush, FakeServer, type Wire } from "./fake_server.js";
import { subscribedChannel } from "./helpers.js";

test("after disconnect() a call connects by itself; with autoConnect: false the application does", () => {
  for (const [call, type] of [
    [({ realtime }) => realtime.channel("room").send("n", 1), "message"],
    [({ realtime }) => realtime.channel("room").subscribe(), "subscribe"],
    [({ realtime }) => realtime.database().collection("c").get(50), "subscribe"],
    [({ realtime }) => realtime.whenSeen("0/1", 50), "seen"],
  ] as [(server: FakeServer) => Promise<unknown>, string][])
    for (const autoConnect of [true, false]) {
      const server = new FakeServer({ autoConnect });
      server.realtime.connect();
      server.peer.hello();
      server.realtime.disconnect();
      call(server).catch(() => {});
      assert.deepEqual([server.peers.length, server.realtime.state], autoConnect ? [2, "connecting"] : [1, "closed"]);
      if (!autoConnect) server.realtime.connect();
      server.peer.hello();
      assert.deepEqual(
        server.peer.received.map((message) => message.type),
        [type],
      );
    }
});

test("unacknowledged messages are sent again in order, before new ones, with the same ids", async () => {
  const { server, channel } = await subscribedChannel();
  const acks = [1, 2, 3].map((data) => channel.send("n", data));
  const before = server.peer.of("message");
  server.peer.send({ type: "ack", channel: "room", ref: before[0]!.ref, id: before[0]!.id, position: "0/20/0" });
  server.peer.end();
  acks.push(channel.send("n", 4));
  await server.clock.pass(1000);
  const peer = server.peer.hello();
  assert.deepEqual(
    peer.received.map(({ type, data }) => data ?? type),
    ["subscribe", 2, 3, 4],
  );
  assert.deepEqual(
    peer
      .of("message")
      .slice(0, 2)
      .map(({ id }) => id),
    before.slice(1).map(({ id }) => id),
  );
  peer.acknowledge();
  assert.deepEqual(
    (await Promise.all(acks)).map(({ id }) => id),
    [...before.map(({ id }) => id), peer.received.at(-1)!.id],
  );
});

const PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("a message has the id that it was given, and trace context beside it", async () => {
  const { server, channel } = await subscribedChannel();
  const trace = { traceparent: PARENT, tracestate: "a=b" };
  void channel.send("n", 1, { id: "own", ...trace });
  void channel.send("n", 2, trace);
  const [own, made] = server.peer.of("message");
  assert.deepEqual([own!.id, own!.traceparent, own!.tracestate], ["own", PARENT, "a=b"]);
  assert.match(String(made!.id), /^[0-9a-f-]{36}$/);
  assert.equal(made!.traceparent, PARENT);
});

test("a rejected message rejects its own call only, and a rate-limited one is sent again", async () => {
  const { server, channel } = await subscribedChannel();
  const [bad, good] = [channel.send("n", 1), channel.send("n", 2)];
  const [first, second] = server.peer.of("message");
  server.peer.send({ type: "error", code: "RT_003", message: "no", channel: "room", ref: first!.ref });
  server.peer.send({ type: "error", code: "RT_006", message: "slowly", channel: "room", ref: second!.ref });
  await assert.rejects(bad, { code: "RT_003", message: "no", channel: "room", ref: first!.ref });
  assert.equal(server.peer.of("message").length, 2);
  await server.clock.pass(1000);
  assert.equal(server.peer.of("message").at(-1)!.id, second!.id);
  server.peer.send({ type: "ack", channel: "room", ref: second!.ref, id: second!.id });
  assert.equal((await good).id, second!.id);
});

test("a message that is refused for seconds rejects with them, and others are sent meanwhile", async () => {
  const { server, channel } = await subscribedChannel();
  const spam = channel.send("n", 1);
  const { ref } = server.peer.of("message")[0]!;
  server.peer.send({ type: "error", code: "RT_006", message: "too many", channel: "room", ref, retryAfter: 4.5 });
  await assert.rejects(spam, { code: "RT_006", ref, retryAfter: 4.5 });
  void channel.send("n", 2);
  await server.clock.pass(10_000);
  assert.deepEqual(
    server.peer.of("message").map(({ data }) => data),
    [1, 2],
  );
});

test("whenSeen resolves with the answer, is asked again on a new connection, and ends in time", async () => {
  const server = new FakeServer();
  const client = server.realtime;
  server.peer.hello();
  const order: string[] = [];
  const seen = client.whenSeen("xid:7").then(() => order.push("seen"));
  assert.deepEqual(
    server.peer.of("seen").map(({ position }) => position),
    ["xid:7"],
  );
  server.peer.end();
  await server.clock.pass(1000);
  const peer = server.peer.hello();
  assert.deepEqual(
    peer.received.map(({ type }) => type),
    ["seen"],
  );
  const [{ ref }] = peer.of("seen") as [Wire];
  peer.send({ type: "seen", position: "0/20", ref });
  await seen;
  const refused = client.whenSeen("xid:8");
  peer.send({ type: "error", code: "RT_004", message: "rolled back", ref: peer.of("seen")[1]!.ref });
  await assert.rejects(refused, { code: "RT_004", message: "rolled back" });
  const late = client.whenSeen("xid:9", 500);
  late.catch(() => order.push("late"));
  await server.clock.pass(499);
  assert.deepEqual(order, ["seen"]);
  await server.clock.pass(1);
  await assert.rejects(late, { code: "RT_001", message: "xid:9 was not seen within 500 ms" });
});

test("many messages are paced, and leave in order", async () => {
  const { server, channel } = await subscribedChannel();
  for (let data = 0; data < 300; data++) void channel.send("n", data);
  assert.ok(server.peer.of("message").length < 50);
  for (let second = 0; server.peer.of("message").length < 300; second++) {
    assert.ok(second < 50);
    server.peer.acknowledge();
    await server.clock.pass(100);
  }
  assert.deepEqual(
    server.peer.of("message").map(({ data }) => data),
    Array.from({ length: 300 }, (_, index) => index),
  );
});

test("a request above the server's size limit is rejected by the client, on every connection, and affects no other", async () => {
  const server = new FakeServer();
  const errors: string[] = [];
  const collection = server.realtime.database().collection("t");
  const hello = { limits: { messageSize: 2000 } };
  collection.onSnapshot(() => {});
  collection.where("name", "in", ["ü".repeat(1000)]).onSnapshot(
    () => {},
    ({ code, message }) => errors.push(`${code} ${message}`),
  );
  server.peer.hello(hello);
  await flush();
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /^RT_005 the message has 2\d{3} bytes; at most 2000 are allowed$/);
  assert.equal(server.peer.of("subscribe").length, 1);
  assert.equal(server.peer.open, true);
  server.peer.end();
  await server.clock.pass(1000);
  assert.equal(server.peer.hello(hello).of("subscribe").length, 1);
});

test("a broadcast carries the trace context in headers, and none is sent without one", async (t) => {
  const requests: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      requests.push({ headers: request.headers, body });
      response.setHeader("Content-Type", "application/json").end('{"id": "1"}');
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  const channel = new RealtimeServer({ url: `http://127.0.0.1:${port}`, apiKey: "k" }).channel("room");

  const trace = {
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "a=1,b=2",
  };
  await channel.broadcast("e", 1, { id: "1", ...trace });
  await channel.broadcast("e", 1, { id: "1" });
  assert.deepEqual(
    requests.map(({ headers: { authorization, traceparent, tracestate } }) => [authorization, traceparent, tracestate]),
    [
      ["Bearer k", trace.traceparent, trace.tracestate],
      ["Bearer k", undefined, undefined],
    ],
  );
  for (const { body } of requests) assert.deepEqual(JSON.parse(body), { event: "e", data: 1, id: "1" });

  await assert.rejects(channel.broadcast("e", 1, { tracestate: "a\r\nb" }), TypeError);
  assert.equal(requests.length, 2);
});

/** A channel of a server that answers with these, and then 200; and how long the client waited before each repetition. */
async function answering(t: TestContext, ...answers: [status: number, headers: object, body?: string][]) {
  const server = createServer((_, response) => {
    const [status, headers, body] = answers.shift() ?? [200, {}, '{"id": "1"}'];
    response.writeHead(status, headers as OutgoingHttpHeaders).end(body);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close().closeAllConnections());
  const waits: number[] = [];
  t.mock.method(Math, "random", () => 0);
  const wait = setTimeout;
  t.mock.method(globalThis, "setTimeout", (run: () => void, ms: number, ...given: unknown[]) => {
    if (ms !== 2500 && ms !== 7000) return wait(run, ms, ...given); // Node's own
    waits.push(ms);
    return wait(run);
  });
  const { port } = server.address() as AddressInfo;
  return { channel: new RealtimeServer({ url: `http://127.0.0.1:${port}` }).channel("room"), waits };
}

const page = "<h1>Slow down</h1>"; // of a proxy

test("a request is repeated when the server, or a proxy, wants it", async (t) => {
  const problem = JSON.stringify({ code: "RT_006", detail: "too many requests", retryAfter: 2.5 });
  const { channel, waits } = await answering(t, [429, {}, problem], [503, { "Retry-After": "7" }, page]);
  assert.deepEqual(await channel.broadcast("e"), { id: "1" });
  assert.deepEqual(waits, [2500, 7000]);
});

test("a request that is refused for longer than its timeout rejects with the seconds", async (t) => {
  const problem = { code: "RT_006", detail: "too many requests", retryAfter: 30 };
  const { channel, waits } = await answering(
    t,
    [429, { "Retry-After": 30 }, JSON.stringify(problem)],
    [503, { "Retry-After": "60" }, page],
    [500, { "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT" }, page],
  );
  await assert.rejects(channel.broadcast("e"), { code: "RT_006", message: problem.detail, retryAfter: 30 });
  await assert.rejects(channel.broadcast("e"), { code: "RT_001", message: "HTTP status 503", retryAfter: 60 });
  await assert.rejects(channel.broadcast("e"), { code: "RT_001", message: "HTTP status 500", retryAfter: undefined });
  assert.deepEqual(waits, []);
});

test("a transport whose requests a proxy refuses ends with the seconds that it asks for", async () => {
  const ends: unknown[] = [];
  for (const transport of [sse, polling]) {
    const _fetch = (): Promise<Response> =>
      Promise.resolve(new Response(page, { status: 429, headers: { "Retry-After": "7" } }));
    const address = { _url: "http://x/realtime", _query: "", _packer: undefined, _WebSocket: undefined, _token: undefined, _fetch }; // prettier-ignore
    await new Promise<void>((ended) => {
      const _closed = (...how: unknown[]): void => (ends.push(how), ended());
      transport(address, { _message: () => {}, _received: () => {}, _closed });
    });
  }
  assert.deepEqual(ends, Array(2).fill([1006, "HTTP status 429", undefined, 7]));
});
