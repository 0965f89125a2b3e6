/** JSON with integers of any size, and of no value that JSON would drop or change without a word. */

import { expected, isObject } from "./expected.js";

type Holder = Record<string, unknown>;

/**
 * As `JSON.stringify`, and a `bigint` becomes a number with all its digits. A `TypeError` with its path for a value that would be
 * dropped, or become `null` or `{}`; an undefined field of an object is not there, as in any JSON.
 *
 * @param checked it was asked before: what an application has changed since then is no error of the connection. @internal
 */
export function stringify(value: unknown, checked?: boolean): string {
  const places = new Map<unknown, [Holder, string]>();
  const mark = `${Math.random()}n`; // `JSON.rawJSON` is not available everywhere yet
  return JSON.stringify(value, function (this: Holder, key: string, each: unknown) {
    if (typeof each === "bigint") return mark + each;
    if (checked || typeof each === "string" || Number.isFinite(each)) return each; // most values; the rest costs microseconds
    const text = Object.keys(Object(each) as object).length || JSON.stringify(each);
    let path = key;
    let wrong =
      text === undefined
        ? each || Array.isArray(this)
        : text === "{}"
          ? !isObject(each)
          : text === "null" && this[key] !== null; // also an invalid date
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- the way up to the root
    for (let place, holder = this; (place = places.get(holder)); [holder] = place) {
      path = `${place[1]}.${path}`;
      wrong ||= holder === each; // in itself
    }
    if (wrong) expected(path.slice(1), "a JSON value", this[key]);
    places.set(each, [this, key]);
    return each;
  }).replace(new RegExp(`"${mark}(.*?)"`, "g"), "$1");
}
