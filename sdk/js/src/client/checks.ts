/** What the values of a client's options have to be, so that a wrong one is an error where it is written and not a client that never connects. */

import { expected, isObject, mustBeObject } from "../protocol/expected.js";
import { ALL } from "./options.js";
import type { TransportName } from "../protocol/types.js";
import { unknown } from "./known.js";

/** @internal */
export type Rule = [names: string, expected: string, holds: (value: unknown) => boolean];

const is =
  (type: string) =>
  (value: unknown): boolean =>
    typeof value === type;

const from =
  (least: number) =>
  (value: unknown): boolean =>
    typeof value === "number" && value >= least;

const isText = (value: unknown): boolean => is("string")(value) && !!value;

/** Names of options, what they have to be, and whether a value is that: as in `Options` of the Python SDK. @internal */
export const CLIENT_OPTIONS = (): Rule[] => [
  ["connectTimeout heartbeatInterval heartbeatTimeout upgradeInterval", "a number above 0", from(Number.MIN_VALUE)],
  ["reconnectDelay maxReconnectDelay maxReconnectAttempts queueLimit", "a number from 0", from(0)],
  ["autoConnect reconnect", "true or false", is("boolean")],
  ["url apiKey token user", "a string", is("string")],
  ["getToken fetch WebSocket", "a function", is("function")],
  [
    "attributes",
    "an object of strings, numbers, booleans and nulls",
    (value) =>
      isObject(value) &&
      Object.values(value as object).every(
        (each) => each === null || ["string", "number", "boolean"].includes(typeof each),
      ),
  ],
  ["format", "json or msgpack", (value) => ["json", "msgpack"].includes(value as string)],
  [
    "transports",
    `a list of ${ALL.join(", ")}`,
    (value) => Array.isArray(value) && !!value.length && value.every((name: TransportName) => ALL.includes(name)),
  ],
];

/** Those of a channel. @internal */
export const CHANNEL_OPTIONS = (): Rule[] => [
  ["presence", "true, false or an object", (value) => is("boolean")(value) || isObject(value)],
  ["history", "a whole number from 0", (value) => Number.isInteger(value) && (value as number) >= 0],
  ["meta", "true or false", is("boolean")],
  ["filter conflate encryption", "an object", isObject],
];

/** Those of a message. What is no trace context would be dropped: a trace is no reason for a server to refuse a message. @internal */
export const SEND_OPTIONS = (): Rule[] => [
  ["id", "a non-empty string", isText],
  [
    "traceparent",
    "a W3C traceparent",
    (value) => /^(?!ff)[\da-f]{2}-(?!0+-)[\da-f]{32}-(?!0+-)[\da-f]{16}-[\da-f]{2}(-|$)/.test(value as string),
  ],
  ["tracestate", "a string", is("string")],
];

/** Whose connections. @internal */
export const CONNECTIONS_FILTER = (): Rule[] => [["userId", "a non-empty string", isText]];

/** A `TypeError` with the name of the first option that is none, or whose value is none, and what is expected. @internal */
export function checkValues(options: object, rules: () => Rule[]): void {
  mustBeObject("options", options);
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const [, what, holds] = rules().find(([names]) => names.split(" ").includes(name)) ?? unknown(name);
    if (value !== undefined && !holds(value)) expected(name, what, value);
  }
}
