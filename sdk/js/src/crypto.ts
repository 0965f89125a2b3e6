/**
 * End-to-end encryption of channels, for browsers and Node.
 *
 * @packageDocumentation
 */

export { Encryption, type EncryptionKeys } from "./protocol/crypto.js";
