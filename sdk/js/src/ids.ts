/** Names that nobody else has, and that nobody can guess. */

/** So many random bytes as hexadecimal digits. `crypto.randomUUID` is not there on pages without TLS; this is. @internal */
export const randomHex = (bytes: number): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A random UUID (RFC 9562, version 4). @internal */
export function uuid(): string {
  const hex = randomHex(16);
  const variant = "89ab"[parseInt(hex[16]!, 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
}
