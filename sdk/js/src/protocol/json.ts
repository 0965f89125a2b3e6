/** JSON with integers of any size. */

/** As `JSON.stringify`, which refuses a `bigint`: it becomes a number with all its digits. @internal */
export function stringify(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    // `JSON.rawJSON` is not available everywhere yet. An error without a bigint is thrown again, with its reason.
    const mark = `bigint ${Math.random()}`.replace(".", "");
    const text = JSON.stringify(value, (_key, each: unknown) => (typeof each === "bigint" ? mark + "n" + each : each));
    return text.replace(new RegExp(`"${mark}n(-?\\d+)"`, "g"), "$1");
  }
}
