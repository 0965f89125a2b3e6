/** Unique ids that cannot be guessed. */

/** Random bytes as hexadecimal digits. Pages without TLS have no `crypto.randomUUID`. @internal */
export const randomHex = (bytes: number): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A random UUID (RFC 9562, version 4). @internal */
export const uuid = (): string => randomHex(16).replace(/(.{8})(.{4}).(...).(...)/, "$1-$2-4$3-a$4-");
