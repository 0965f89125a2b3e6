/** What the values of a client's options have to be, so that a wrong one is an error where it is written and not a client that never connects. */

import { ALL } from "./options.js";
import type { TransportName } from "../protocol/types.js";
import type { RealtimeOptions } from "./client_options.js";

const isNumber = (value: unknown): value is number => typeof value === "number";

/** Names of options, what they have to be, and whether a value is that: as in `Options` of the Python SDK. */
const RULES: [names: string, expected: string, holds: (value: unknown) => boolean][] = [
  [
    "connectTimeout heartbeatInterval heartbeatTimeout upgradeInterval",
    "a number above 0",
    (value) => isNumber(value) && value > 0,
  ],
  [
    "reconnectDelay maxReconnectDelay maxReconnectAttempts queueLimit",
    "a number from 0",
    (value) => isNumber(value) && value >= 0,
  ],
  ["autoConnect reconnect", "true or false", (value) => typeof value === "boolean"],
  ["apiKey token", "a string", (value) => typeof value === "string"],
  ["getToken fetch", "a function", (value) => typeof value === "function"],
  ["format", "json or msgpack", (value) => value === "json" || value === "msgpack"],
  [
    "transports",
    "a list of websocket, sse, polling",
    (value) => Array.isArray(value) && !!value.length && value.every((name: TransportName) => ALL.includes(name)),
  ],
];

/** A `TypeError` with the name of the first option whose value is none, and what is expected. @internal */
export function checkValues(options: RealtimeOptions): void {
  for (const [names, expected, holds] of RULES)
    for (const name of names.split(" ")) {
      const value = options[name as keyof RealtimeOptions] as unknown;
      if (value !== undefined && !holds(value))
        throw new TypeError(`${name}: ${expected} is expected, not ${value as string}`);
    }
  if (options.token !== undefined && options.getToken) throw new TypeError("token: not with getToken");
}
