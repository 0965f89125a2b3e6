// The packed SDK in a runtime: a live query, a channel, encryption and the entry for servers, over each transport.
// runtime.mjs import|require: how it is loaded. REALTIME_URL is a demo, REST_KEY the key of its REST API.

import { createRequire } from "node:module";
import process from "node:process";

const [way] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const load = way === "require" ? (name) => require(name) : (name) => import(name);
const { Realtime } = await load("@bunbase/sdk");
const { Encryption } = await load("@bunbase/sdk/crypto");
const { RealtimeServer } = await load("@bunbase/sdk/server");
const { REALTIME_URL: url, REST_KEY: apiKey } = process.env;

function runtime() {
  if (globalThis.Deno) return `Deno ${globalThis.Deno.version.deno}`;
  return process.versions.bun ? `Bun ${process.versions.bun}` : `Node ${process.versions.node}`;
}

/** Fails with the name of what did not come within 20 seconds. */
function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(reject, 20_000, new Error(`${what} did not come`))));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Returns the transport that was used: the client's choice if `transports` is undefined. */
async function over(transports) {
  const realtime = new Realtime({ url, transports });
  const listed = new Promise((resolve, reject) =>
    realtime
      .database()
      .collection("messages")
      .limit(5)
      .onSnapshot(({ docs }) => resolve(docs), reject),
  );
  const docs = await within("a snapshot", listed);
  if (typeof docs[0].data().body !== "string") throw new Error(`a document is ${JSON.stringify(docs[0].data())}`);

  const name = `chat:${way}-${Date.now()}`;
  const encryption = new Encryption({
    keyId: "k",
    keys: { k: new Uint8Array(32).fill(7) },
  });
  for (const [channelName, options] of [
    [name, {}],
    [`${name}-secret`, { encryption }],
  ]) {
    const channel = realtime.channel(channelName, options);
    const received = new Promise((resolve) => channel.on("sent", ({ data }) => resolve(data)));
    await within("an answer to subscribe", channel.subscribe());
    await within("an acknowledgement", channel.send("sent", { n: 1 }));
    if ((await within("a message", received)).n !== 1) throw new Error("a message is another one");
  }
  const { messages } = await new RealtimeServer({ url, apiKey }).channel(name).history({ limit: 5 });
  if (messages.length !== 1) throw new Error(`${messages.length} messages are in the history`);
  const { transport } = realtime;
  realtime.disconnect();
  return transport;
}

const used = [];
for (const transports of [undefined, ["sse"], ["polling"]]) used.push(await over(transports));
console.log(`${runtime()}, ${way}: ${used.join(", ")}`);
