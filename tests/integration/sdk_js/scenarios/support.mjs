// What the scenarios share: who they are, SQL and accidents by the control address, and waiting.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { Realtime } from "../../../../sdk/js/dist/index.js";

export { eventually } from "../../../support/eventually.mjs";

// Of the SDK's own packages: nothing is installed here.
export const ws = createRequire(new URL("../../../../sdk/js/package.json", import.meta.url))("ws");

export const url = process.env.REALTIME_URL;
export const restKey = process.env.REST_KEY;
export const format = process.env.FORMAT ?? "json";
/** The transports to use; all if the scenario is about changing them. */
export const transports = process.env.TRANSPORT ? [process.env.TRANSPORT] : ["websocket", "sse", "polling"];

const clients = [];

/** A client that is closed at the end of the test. */
export function client(options = {}) {
  const made = new Realtime({ url, transports, format, WebSocket: ws, reconnectDelay: 100, ...options });
  clients.push(made);
  return made;
}

export function closeAll() {
  for (const each of clients.splice(0)) each.disconnect();
}

/** Ask for SQL or an accident. */
export async function control(order, body = "") {
  const answer = await fetch(`${process.env.CONTROL_URL}/${order}`, { method: "POST", body });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return JSON.parse(text);
}
export const sql = (text) => control("sql", text);

/**
 * The same, until the server has read its change. A query that another client had asked for is kept for a while, with the rows
 * that were read last: what begins with it earlier begins with those.
 */
export async function sqlSeen(text) {
  await sql(text);
  const [[position]] = await sql("select realtime.position()");
  await client().whenSeen(position);
}

/** The next time something happens. */
export const once = (source, event) =>
  new Promise((resolve) => {
    const off = source.on(event, (value) => {
      off();
      resolve(value);
    });
  });

let names = 0;
/** A channel that no other test uses. */
export const name = (kind = "chat") => `${kind}:${process.pid}-${++names}`;
