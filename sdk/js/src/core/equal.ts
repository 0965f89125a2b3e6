type Indexed = Record<string, unknown>;

/** Whether two JSON values are the same, in any order of their keys. @internal */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (!a || !b || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && equal((a as Indexed)[key], (b as Indexed)[key]))
  );
}
