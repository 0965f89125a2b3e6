/** What a wrong argument is: a `TypeError` at once, where it is written. */

/** @internal */
export function expected(name: string, what: string, value: unknown): never {
  throw new TypeError(`${name}: ${what} is expected, not ${String(value)}`);
}

/** @internal */
export function mustCall(name: string, listener: unknown): void {
  if (typeof listener !== "function") expected(name, "a function", listener);
}

/** The name of a channel, a collection, an event … @internal */
export function mustBeText(name: string, text: unknown): void {
  if (!text || typeof text !== "string") expected(name, "a non-empty string", text);
}

/** Whether it has named fields: it is no list and no `Map`. @internal */
export const isObject = (value: unknown): boolean => ({}).toString.call(value) === "[object Object]";

/** @internal */
export function mustBeObject(name: string, value: unknown): void {
  if (!isObject(value)) expected(name, "an object", value);
}
