// The documented examples in Node.

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventually, restKey as key, sql, url } from "./support.mjs";
import { runAll } from "./examples.mjs";
import * as snippets from "../../../../sdk/js/build/snippets.mjs";

test("every documented example works as documented, in Node", () =>
  runAll(snippets, { url, key, sql, eventually, equal: assert.deepEqual }));

test("REST errors have their code, and a server that is not there RT_001", async () => {
  snippets.configure({ url, apiKey: "wrong" });
  await assert.rejects(snippets.server.getConnections(), { name: "RealtimeError", code: "RT_002" });
  snippets.configure({ url: "http://127.0.0.1:1", apiKey: key });
  await assert.rejects(snippets.server.channel("room").broadcast("e"), { code: "RT_001" });
});
