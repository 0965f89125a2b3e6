/**
 * End-to-end encryption of a channel's data with AES-256-GCM. The server and its tables see only the envelope
 * `{"e2ee": 1, "kid": …, "iv": …, "ct": …}`; channel, event and key id are bound to it, so it cannot be moved elsewhere.
 */

import { ErrorCode } from "./codes.js";
import { RealtimeError } from "./errors.js";
import { stringify } from "./json.js";

/** The keys of a channel, which its members have agreed on elsewhere. */
export interface EncryptionKeys {
  /** The key that new messages are encrypted with. */
  keyId: string;
  /** All keys that messages may be encrypted with: 32 bytes each, raw or as base64 or base64url. */
  keys: Record<string, Uint8Array | string>;
  /** Also deliver messages that are not encrypted. */
  allowPlaintext?: boolean;
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}

/** End-to-end encryption of channels: the option `encryption` of {@link Realtime.channel}. */
export class Encryption {
  constructor(private _keys: EncryptionKeys) {}

  /** @internal */
  _sealer(channel: string): Sealer {
    return new Sealer(channel, this._keys);
  }
}

/** @internal */
export class Sealer {
  private _imported = new Map<string, Promise<CryptoKey>>();

  constructor(
    private _channel: string,
    private _encryption: EncryptionKeys,
  ) {}

  /** The envelope for `data`. */
  async _seal(event: string, data: unknown): Promise<unknown> {
    const kid = this._encryption.keyId;
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const key = await this._key(kid);
    const plain = new TextEncoder().encode(stringify({ data: data ?? null }).slice(8, -1));
    const sealed = await crypto.subtle.encrypt(this._algorithm(event, kid, iv), key, plain);
    return { e2ee: 1, kid, iv: toBase64(iv), ct: toBase64(new Uint8Array(sealed)) };
  }

  /** The data of the envelope. Fails if it cannot be opened, or if there is none. */
  async _open(event: string, data: unknown): Promise<unknown> {
    if (!isEnvelope(data)) {
      if (this._encryption.allowPlaintext) return data;
      throw this._error("the message is not encrypted");
    }
    const key = await this._key(data.kid);
    try {
      const algorithm = this._algorithm(event, data.kid, fromBase64(data.iv));
      return JSON.parse(new TextDecoder().decode(await crypto.subtle.decrypt(algorithm, key, fromBase64(data.ct))));
    } catch {
      // WebCrypto gives no reason, on purpose.
      throw this._error(`the message cannot be decrypted with the key ${JSON.stringify(data.kid)}`);
    }
  }

  private _key(kid: string): Promise<CryptoKey> {
    let imported = this._imported.get(kid);
    if (!imported) {
      const given = Object.hasOwn(this._encryption.keys, kid) ? this._encryption.keys[kid]! : undefined;
      if (given === undefined) return Promise.reject(this._error(`there is no key ${JSON.stringify(kid)}`));
      const raw = typeof given === "string" ? fromBase64(given) : new Uint8Array(given);
      if (raw.length !== 32)
        return Promise.reject(this._error(`the key ${JSON.stringify(kid)} has ${raw.length} bytes, not 32`));
      imported = crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
      this._imported.set(kid, imported);
    }
    return imported;
  }

  private _algorithm(event: string, kid: string, iv: Uint8Array<ArrayBuffer>): AesGcmParams {
    return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(`${this._channel}\n${event}\n${kid}`) };
  }

  private _error(text: string): RealtimeError {
    return new RealtimeError(ErrorCode.InvalidMessage, text, { channel: this._channel });
  }
}

/** The envelope of encrypted data. */
interface Envelope {
  e2ee: 1;
  kid: string;
  iv: string;
  ct: string;
}

const isEnvelope = (data: unknown): data is Envelope => (data as Envelope | null | undefined)?.e2ee === 1;
