/** Options that have no meaning: a misspelt one would change nothing, and nothing would fail. */

/** @internal */
export function unknown(name: string): never {
  throw new TypeError(`options: an object without "${name}" is expected`);
}

/** A `TypeError` if anything is left of the options when all that have a meaning are taken away. @internal */
export function onlyKnown(left: object): void {
  for (const name in left) unknown(name);
}
