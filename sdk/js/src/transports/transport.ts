/** What the three transports have in common: they carry whole messages, in order, until they are closed. */

import type { RealtimeError } from "../errors.js";
import type { ServerMessage } from "../wire.js";

/** Where to connect, and with what. @internal */
export interface Address {
  /** `https://host/realtime`, without a query. */
  _url: string;
  /** The query, without question mark. */
  _query: string;
  /** MessagePack where the transport can. */
  _packed: boolean;
  _WebSocket: (new (url: string) => WebSocket) | undefined;
  _fetch: typeof fetch;
}

/** What a transport reports. Nothing comes after `_closed`. @internal */
export interface Events {
  /** A message of the server. */
  _message(message: ServerMessage): void;
  /** A sign of life that is not a message. */
  _heard(): void;
  /** The end, with a WebSocket close code; `refused` if the server said in so many words that it does not want us. */
  _closed(code: number, reason: string, refused?: RealtimeError): void;
}

/** An open (or opening) connection. @internal */
export interface Carrier {
  /** Send a message: JSON. */
  _send(text: string): void;
  /** End it. Nothing is reported any more. `leave`: others see at once that this client has gone; else as if it had broken. */
  _close(leave: boolean): void;
}

/** Begin a connection. Reports nothing before it has returned. @internal */
export type Transport = (address: Address, events: Events) => Carrier;
