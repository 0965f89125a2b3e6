/**
 * Positions: an LSN such as `0/16B3748`, or a message's place in it, `0/16B3790/42`. The two parts of an LSN are hexadecimal, a
 * message's number is decimal; they are compared part by part as numbers.
 */

/** Negative if `a` is before `b`, positive if it is after, 0 if they are the same. An LSN is before the messages in it. @internal */
export function compare(a: string, b: string): number {
  // Read as hexadecimal, decimal numbers have the same order.
  const [left, right] = [a, b].map((each) => [...each.split("/"), "-1"].map((part) => parseInt(part, 16)));
  return left![0]! - right![0]! || left![1]! - right![1]! || left![2]! - right![2]!;
}
