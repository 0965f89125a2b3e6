/** Unique ids that cannot be guessed. */

/** Random bytes as hexadecimal digits. Pages without TLS have no `crypto.randomUUID`. @internal */
export const randomHex = (bytes: number): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A random UUID (RFC 9562, version 4). @internal */
export function uuid(): string {
  const hex = randomHex(16);
  const variant = "89ab"[parseInt(hex[16]!, 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}
