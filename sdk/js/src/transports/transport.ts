/** The common interface of the three transports: they carry whole messages, in order, until they are closed. */

import type { RealtimeError } from "../protocol/errors.js";
import type { ServerMessage } from "../protocol/wire.js";

/** The address and parameters of a connection. @internal */
export interface Address {
  /** `https://host/realtime`, without a query. */
  _url: string;
  /** The query, without question mark. */
  _query: string;
  /** Loads MessagePack, where it is wanted and the transport can. */
  _packer?:
    (() => Promise<{ pack(value: unknown): Uint8Array<ArrayBuffer>; unpack(bytes: ArrayBuffer): unknown }>) | undefined;
  _WebSocket: (new (url: string, protocols?: string[]) => WebSocket) | undefined;
  /** Gets a token for a connection that is to be opened or goes on; undefined: it is anonymous. */
  _token?: (() => Promise<string>) | undefined;
  _fetch: typeof fetch;
}

/** The events of a transport. `_closed` is the last one. @internal */
export interface Events {
  /** A message of the server. */
  _message(message: ServerMessage): void;
  /** A sign of life that is not a message. */
  _received(): void;
  /**
   * The end, with a WebSocket close code; `refused` if the server rejected the connection explicitly. `retryAfter`: seconds that
   * it asks to wait before the next attempt.
   */
  _closed(code: number, reason: string, refused?: RealtimeError, retryAfter?: number): void;
}

/** An open (or opening) connection. @internal */
export interface Carrier {
  /** Send a message: JSON. */
  _send(text: string): void;
  /** End it without further events. `leave`: other clients see at once that this client leaves; else as if it had broken. */
  _close(leave: boolean): void;
}

/** Begin a connection. The first event follows after the return. @internal */
export type Transport = (address: Address, events: Events) => Carrier;
