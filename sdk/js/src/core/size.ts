/** The size of messages. */

/** Why the server would not take `text`, if it would not; `most`: the bytes that it takes. @internal */
export function tooLarge(text: string, most: number): string | undefined {
  const size = new TextEncoder().encode(text).length;
  return size > most ? `the message has ${size} bytes; at most ${most} are allowed` : undefined;
}
