/** What the values of a client's options have to be, so that a wrong one is an error where it is written and not a client that never connects. */

import { expected } from "../core/emitter.js";
import { ALL } from "./options.js";
import type { TransportName } from "../protocol/types.js";
import { mustBeObject, unknown } from "./known.js";

type Rule = [names: string, expected: string, holds: (value: unknown) => boolean];

const is =
  (type: string) =>
  (value: unknown): boolean =>
    typeof value === type;

/** Names of options, what they have to be, and whether a value is that: as in `Options` of the Python SDK. */
const rules = (): Rule[] => [
  [
    "connectTimeout heartbeatInterval heartbeatTimeout upgradeInterval",
    "a number above 0",
    (value) => is("number")(value) && (value as number) > 0,
  ],
  [
    "reconnectDelay maxReconnectDelay maxReconnectAttempts queueLimit",
    "a number from 0",
    (value) => is("number")(value) && (value as number) >= 0,
  ],
  ["autoConnect reconnect", "true or false", is("boolean")],
  ["url apiKey token user", "a string", is("string")],
  ["getToken fetch WebSocket", "a function", is("function")],
  ["attributes", "an object", is("object")],
  ["format", "json or msgpack", (value) => value === "json" || value === "msgpack"],
  [
    "transports",
    "a list of websocket, sse, polling",
    (value) => Array.isArray(value) && !!value.length && value.every((name: TransportName) => ALL.includes(name)),
  ],
];

/** A `TypeError` with the name of the first option that is none, or whose value is none, and what is expected. @internal */
export function checkValues(options: object): void {
  mustBeObject(options);
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const [, what, holds] = rules().find(([names]) => names.split(" ").includes(name)) ?? unknown(name);
    if (value !== undefined && !holds(value)) expected(name, what, value);
  }
}
