/**
 * Positions: an LSN such as `0/16B3748`, or a message's place in it, `0/16B3790/42`. The two parts of an LSN are hexadecimal, a
 * message's number is decimal; they are compared part by part as numbers.
 */

/** Negative if `a` is before `b`, positive if it is after, 0 if they are the same. An LSN is before the messages in it. @internal */
export function compare(a: string, b: string): number {
  const left = a.split("/");
  const right = b.split("/");
  return (
    parseInt(left[0]!, 16) - parseInt(right[0]!, 16) ||
    parseInt(left[1]!, 16) - parseInt(right[1]!, 16) ||
    Number(left[2] ?? -1) - Number(right[2] ?? -1)
  );
}
