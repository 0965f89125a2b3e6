/** Arguments that have no meaning: they would change nothing, or something else, and nothing would fail. */

import { expected } from "../protocol/expected.js";

/** @internal */
export function unknown(name: string): never {
  throw new TypeError(`options: an object without "${name}" is expected`);
}

/** A `TypeError` if anything is left of the options when all that have a meaning are taken away. @internal */
export function onlyKnown(left: object): void {
  for (const name in left) unknown(name);
}

/** A `TypeError` for what is not one of these events. @internal */
export function mustBeOneOf(names: string[], event: unknown): void {
  if (!names.includes(event as string)) expected("event", `one of ${names.join(", ")}`, event);
}

/** A `TypeError` if a timer cannot wait that time: it would end at once. @internal */
export function mustTime(timeout: number): void {
  if (typeof timeout !== "number" || !(timeout > 0 && timeout < 2e9))
    expected("timeout", "a number above 0 and below 2e9", timeout);
}
