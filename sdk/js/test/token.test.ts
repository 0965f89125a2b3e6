// Tokens: fetched for each connection, never in an address, renewed before they expire. What the client reports of its connection.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Realtime } from "../src/client/realtime.js";
import { RealtimeServer } from "../src/client/server.js";
import { configure } from "../src/index.js";
import type { RealtimeOptions } from "../src/client/client_options.js";
import { FakeClock, FakeServer, flush, type Wire } from "./fake_server.js";

/** The subprotocols and addresses of the sockets that were opened, and the headers and addresses of the requests. */
class Network {
  readonly opened: { url: string; protocols: string[] | undefined }[] = [];
  readonly requests: { url: string; headers: Record<string, string> }[] = [];

  readonly WebSocket = ((network: Network) =>
    class {
      readyState = 0;
      constructor(url: string, protocols?: string[]) {
        network.opened.push({ url, protocols });
      }
      close(): void {}
    })(this);

  readonly fetch = ((url: string, { headers }: { headers: Record<string, string> }) => {
    this.requests.push({ url, headers });
    return new Promise(() => {});
  }) as unknown as typeof fetch;
}

test("a WebSocket carries the token as a subprotocol, other transports as a header, and no address has it", async () => {
  const token = "eyJhbGciOi.eyJzdWIi.c2ln-_ü";
  for (const transport of ["websocket", "sse", "polling"] as const) {
    const network = new Network();
    const realtime = new Realtime({
      url: "http://test",
      transports: [transport],
      getToken: () => token,
      WebSocket: network.WebSocket,
      fetch: network.fetch,
    });
    await flush();
    if (transport === "websocket") {
      const [{ url, protocols }] = network.opened as [{ url: string; protocols: string[] }];
      assert.equal(protocols[0], "bunbase");
      assert.match(protocols[1]!, /^bunbase\.token\.[A-Za-z0-9_-]+$/);
      assert.equal(Buffer.from(protocols[1]!.slice("bunbase.token.".length), "base64url").toString(), token);
      assert.doesNotMatch(url, /token/);
    } else {
      const [{ url, headers }] = network.requests as [{ url: string; headers: Record<string, string> }];
      assert.equal(headers.Authorization, `Bearer ${token}`);
      assert.doesNotMatch(url, /token/);
    }
    realtime.disconnect();
  }
});

test("without a token nothing is offered and no header is set", async () => {
  const network = new Network();
  const realtime = new Realtime({ url: "http://test", WebSocket: network.WebSocket });
  await flush();
  assert.equal(network.opened[0]!.protocols, undefined);
  realtime.disconnect();
});

test("the callback is called for each connection, and a client that left meanwhile opens none", async () => {
  const network = new Network();
  let calls = 0;
  let give: (token: string) => void = () => {};
  const getToken = (): Promise<string> => {
    calls++;
    return new Promise((resolve) => (give = resolve));
  };
  const realtime = new Realtime({
    url: "http://test",
    transports: ["websocket"],
    getToken,
    WebSocket: network.WebSocket,
  });
  realtime.disconnect();
  give("one");
  await flush();
  assert.deepEqual([calls, network.opened.length], [1, 0]);
  realtime.connect();
  give("two");
  await flush();
  assert.deepEqual([calls, network.opened.length], [2, 1]);
  realtime.disconnect();
});

test("a callback that fails counts as a failed attempt, and its message stays here", async () => {
  const network = new Network();
  const failed: string[] = [];
  const realtime = new Realtime({
    url: "http://test",
    transports: ["websocket"],
    maxReconnectAttempts: 0,
    getToken: () => Promise.reject(new TypeError("secret")),
    WebSocket: network.WebSocket,
  });
  realtime.on("error", ({ code, message }) => failed.push(`${code} ${message}`));
  await flush();
  assert.deepEqual(failed, ["RT_001 cannot connect to http://test/realtime: Error: getToken failed: TypeError"]);
  assert.equal(network.opened.length, 0);
});

test("a new token is sent when the server warns that the old one expires", async () => {
  const tokens = ["new"];
  const server = new FakeServer({ getToken: () => tokens.shift()! });
  server.peer.hello().send({ type: "auth:expiring", seconds: 60 });
  await flush();
  assert.deepEqual(server.peer.of("auth"), [{ type: "auth", token: "new" }] as Wire[]);
  server.peer.send({ type: "authenticated", expiresIn: 600 });
  assert.deepEqual(server.events, ["connected"]);
  server.peer.send({ type: "auth:expiring", seconds: 60 });
  await flush();
  assert.deepEqual(server.events, ["connected", "error RT_002"], "the callback returned none");
  assert.equal(server.realtime.state, "open");
});

test("a client without tokens ignores the warning", async () => {
  const server = new FakeServer();
  server.peer.hello().send({ type: "auth:expiring", seconds: 60 });
  await flush();
  assert.deepEqual([server.peer.received, server.events], [[], ["connected"]]);
});

test("a client that has slept comes back with a token of now", async () => {
  const network = new Network();
  const sockets: { onmessage?: (event: { data: string }) => void }[] = [];
  const clock = new FakeClock();
  let calls = 0;
  const options: RealtimeOptions = {
    url: "http://test",
    transports: ["websocket"],
    getToken: () => `token ${++calls}`,
    WebSocket: class extends network.WebSocket {
      constructor(url: string, protocols?: string[]) {
        super(url, protocols);
        sockets.push(this as never);
      }
    },
  };
  const realtime = new Realtime(options, { _clock: clock });
  await flush();
  sockets[0]!.onmessage!({ data: '{"type":"connected","connectionId":"c","epoch":"e","pingInterval":25000}' });
  assert.equal(realtime.state, "open");
  clock.sleep(8 * 3_600_000);
  await clock.pass(10_000); // the server, which has closed the connection long ago, does not answer
  assert.notEqual(realtime.state, "open");
  await clock.pass(10_000);
  const tokens = network.opened.map(({ protocols }) =>
    Buffer.from(protocols![1]!.slice("bunbase.token.".length), "base64url").toString(),
  );
  assert.deepEqual(tokens.slice(0, 2), ["token 1", "token 2"]);
  realtime.disconnect();
});

test("a connection whose token has expired is replaced at once", () => {
  const server = new FakeServer({ token: "t" });
  server.peer.hello().end(4402, "token expired");
  assert.deepEqual([server.peers.length, server.realtime.state], [2, "offline"]);
  server.peer.end(4401, "wrong audience");
  assert.deepEqual([server.realtime.state, server.events.at(-1)], ["needs-auth", "error RT_002"]);
});

test("the status has the reason why there is no connection", async () => {
  const server = new FakeServer({ transports: ["sse"] });
  const seen: string[] = [server.realtime.status.state];
  const states: string[] = [];
  server.realtime.on("status", ({ state, reason }) => seen.push(reason ? `${state}: ${reason}` : state));
  server.realtime.on("state", (state) => states.push(state) && assert.equal(server.realtime.state, state));
  server.peer.end(1006, "HTTP status 502");
  await server.clock.pass(1000);
  server.peer.hello().end(1006, "cut");
  await server.clock.pass(1000);
  server.peer.hello().end(4401, "no");
  server.realtime.connect();
  server.realtime.disconnect();
  assert.deepEqual(seen, [
    ...["connecting", "offline: HTTP status 502", "open", "offline: cut", "open"],
    ...["needs-auth: the server has ended this connection: no", "connecting", "closed"],
  ]);
  assert.deepEqual(states, ["offline", "open", "offline", "open", "needs-auth", "connecting", "closed"]);
  assert.deepEqual(server.realtime.status, { state: "closed" });
});

test("a listener that disconnects is called with no state of before", () => {
  const server = new FakeServer();
  const states: string[] = [];
  server.realtime.on("status", ({ state }) => state === "open" && server.realtime.disconnect());
  server.realtime.on("state", (state) => states.push(state));
  server.peer.hello();
  assert.deepEqual([states, server.events], [["closed"], ["disconnected"]]);
});

test("the status of a client that is refused has the reason of the server, which is reported once", () => {
  const message = "this server accepts no tokens: it has no issuer";
  for (const before of [false, true]) {
    const server = new FakeServer({ token: "t" });
    const errors: string[] = [];
    server.realtime.on("error", (error) => errors.push(error.message));
    if (before) server.peer.hello();
    server.peer.send({ type: "error", code: "RT_002", message });
    server.peer.end(4401, "authentication failed");
    assert.deepEqual([server.realtime.status, errors], [{ state: "needs-auth", reason: message }, [message]]);
  }
});

test("a client has the time of its next attempt while it waits for one, and at no other time", async () => {
  const server = new FakeServer({ transports: ["sse"] });
  const { clock, realtime } = server;
  server.peer.hello();
  await clock.pass(5000);
  assert.equal(realtime.retryAt, undefined);
  server.peer.end(1006, "cut");
  assert.equal(realtime.retryAt, 6000);
  await clock.pass(1000);
  assert.deepEqual([server.peers.length, realtime.retryAt], [2, undefined]); // it is under way
  server.peer.end(1006, "HTTP status 429", undefined, 7);
  assert.equal(realtime.retryAt, 15_000);
  realtime.disconnect();
  assert.equal(realtime.retryAt, undefined);
});

test("a client tries for ever, and the first failure names the address once", async (context) => {
  const { mock } = context.mock.method(console, "warn", () => {});
  const server = new FakeServer({ transports: ["sse"] });
  for (let attempt = 0; attempt < 50; attempt++) {
    server.peer.end(1006, "HTTP status 404");
    await server.clock.pass(30_000);
  }
  assert.ok(server.realtime.state === "offline" && server.peers.length > 50);
  const warning = "[bunbase] cannot reach http://test/realtime (HTTP status 404): set url";
  assert.deepEqual(
    mock.calls.map(({ arguments: given }) => given as unknown[]),
    [[warning]],
  );
});

test("a page whose own server does not answer learns within two seconds that it has to set url", async (context) => {
  const { mock } = context.mock.method(console, "warn", () => {});
  const page = globalThis as { location?: unknown };
  page.location = { origin: "http://localhost:5173" };
  context.after(() => delete page.location);
  const server = new FakeServer({ url: undefined as never });
  await server.clock.pass(1999);
  assert.match(String(mock.calls[0]?.arguments[0]), /cannot reach http:\/\/localhost:5173\/realtime .*set url$/);
  new FakeServer().realtime.disconnect(); // an address that was given is one that may be slow
  const quick = new FakeServer({ url: undefined as never });
  quick.peer.hello();
  await quick.clock.pass(10_000);
  assert.equal(mock.callCount(), 1);
});

test("an address that is none is refused at once", () => {
  for (const url of ["localhost:8410", "example.com", "/realtime", "ftp://host", "http://", ""])
    assert.throws(() => new Realtime({ url }), { name: "TypeError", message: /^url: / }, url);
  assert.throws(() => new Realtime("http://test" as never), { name: "TypeError", message: /^options: an object/ });
  assert.throws(() => configure({ url: "localhost" }), { name: "TypeError" });
});

test("a misspelt option is refused where it is given, or by the server: none is ignored in silence", async () => {
  const refused = { name: "TypeError", message: /^options: .*"ulr"/ };
  const misspelt = { ulr: "http://test" } as never;
  assert.throws(() => new Realtime(misspelt), refused);
  assert.throws(() => configure(misspelt), refused);
  assert.throws(() => new RealtimeServer(misspelt), refused);
  const server = new FakeServer();
  const encrypted = { encrypt: {} } as never; // it would send in the clear
  assert.throws(() => server.realtime.channel("chat:1", encrypted), { message: /"encrypt"/ });
  server.realtime.channel("chat:1", { presence: false, history: 1, filter: {}, meta: true });
  assert.throws(() => server.realtime.channel("chat:1", encrypted), { message: /"encrypt"/ });
  server.realtime
    .database()
    .collection("todos")
    .onSnapshot(() => {}, undefined, { mta: true } as never);
  server.peer.hello();
  await flush();
  assert.equal(server.peer.of("subscribe")[0]!.mta, true);
});
