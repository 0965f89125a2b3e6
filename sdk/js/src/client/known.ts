/** Arguments that have no meaning: they would change nothing, or something else, and nothing would fail. */

import { expected } from "../core/emitter.js";

/** @internal */
export function unknown(name: string): never {
  throw new TypeError(`options: an object without "${name}" is expected`);
}

/** A `TypeError` if anything is left of the options when all that have a meaning are taken away. @internal */
export function onlyKnown(left: object): void {
  for (const name in left) unknown(name);
}

/** A `TypeError` if the options are no object: nothing would be taken from them. @internal */
export function mustBeObject(options: unknown): void {
  if (Object(options) !== options) throw new TypeError("options: an object is expected");
}

/** A `TypeError` if a timer cannot wait that time: it would end at once. @internal */
export function mustTime(timeout: number): void {
  if (!(timeout > 0 && timeout < 2e9)) expected("timeout", "a number above 0 and below 2e9", timeout);
}

/** A `TypeError` if a value is undefined, which JSON would make null, or leave out. @internal */
export function mustBeGiven(name: string, values: unknown[]): void {
  if (values.includes(undefined)) expected(name, "a value");
}
