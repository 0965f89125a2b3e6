// The store of the page about browser frameworks, subscribed to as Svelte does: node --test, with the store's path in STORE.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Realtime } from "../../../sdk/js/dist/index.js";
import { eventually } from "../../support/eventually.mjs";
import { sql, url } from "./scenarios/support.mjs";

const { transform } = createRequire(new URL("../../../sdk/js/package.json", import.meta.url))("esbuild");
const { code } = await transform(await readFile(process.env.STORE, "utf8"), { loader: "ts" });
const { liveList } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

test("two subscribers share the rows, and the query ends with the last", async () => {
  await sql("insert into messages (room_id, body) values ('general', 'first')");
  const realtime = new Realtime({ url });
  const list = liveList(realtime.database().collection("messages").orderBy("id"));
  const seen = [];
  const bodies = ({ docs }) => docs.map((doc) => doc.data().body);
  const leave = [0, 1].map((index) => list.subscribe((value) => (seen[index] = value)));
  assert.deepEqual(seen, Array(2).fill({ docs: [], loading: true }));
  await eventually(() => assert.deepEqual(seen.map(bodies), [["first"], ["first"]]));
  leave[0]();
  await sql("insert into messages (room_id, body) values ('general', 'second')");
  await eventually(() => assert.deepEqual(bodies(seen[1]), ["first", "second"]));
  assert.deepEqual(bodies(seen[0]), ["first"]);
  leave[1]();
  const again = list.subscribe((value) => (seen[0] = value));
  await sql("insert into messages (room_id, body) values ('general', 'third')");
  await eventually(() => assert.deepEqual(bodies(seen[0]), ["first", "second", "third"]));
  again();
  realtime.disconnect();

  const refused = liveList(realtime.database().collection("nope"));
  let last;
  const end = refused.subscribe((value) => (last = value));
  realtime.connect();
  await eventually(() => assert.equal(last.error?.code, "RT_004"));
  end();
  realtime.disconnect();
});
