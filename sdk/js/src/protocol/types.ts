/** The values that applications see. */

import type { RealtimeError } from "./errors.js";

/** Data of the application, whose type this package does not know. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- with `unknown` every reader would have to cast
export type Untyped = any;

/** A message of a channel. `T` is the type of its data, `E` its event. */
export interface Message<T = Untyped, E extends string = string> {
  /** Where it was published; `*` if it was sent to this connection itself. */
  channel: string;
  /** The event's name. */
  event: E;
  /** Any JSON value. */
  data: T;
  /** When it was published: ISO 8601, UTC. */
  timestamp: string;
  /** The publisher's user id; null if there is none. */
  sender: string | null;
  /** Unique within the channel. */
  id: string;
  /** Its place in the database's history. Within a channel positions only grow. */
  position: string;
  /** If it was asked for: what its transaction was annotated with, and the trace context of its publisher. */
  meta?: Record<string, Untyped>;
}

/** The server has stored the message. */
export interface Ack {
  /** The message's id. */
  id: string;
  /** Its place in the channel; undefined where the server has no record of it. */
  position: string | undefined;
}

/** A user in a channel. `S` is the type of what users set. */
export interface User<S = Record<string, Untyped>> {
  id: string;
  /** From the metadata. */
  name?: string | null;
  /** Name, avatar and the like. */
  metadata: Record<string, Untyped>;
  /** Status, typing, and other fields that the user sets. */
  state: S;
  /** The end of its last presence before: ISO 8601, UTC. */
  lastSeen?: string | null;
}

/** The users in a channel. Several connections of a user count once. */
export interface Presence<S = Record<string, Untyped>> {
  users: User<S>[];
  count: number;
}

/** The own presence: these fields have a meaning. */
export interface PresenceFields {
  /** Up to 64 characters; `typing` is taken back by the server. */
  status?: string | null;
  /** Taken back by the server after a few seconds. */
  typing?: boolean;
  name?: string | null;
  avatar?: string | null;
  metadata?: Record<string, Untyped>;
}

/** The own presence: fields that have a meaning, and those of `S`, which appear in `state`. Without `S` any other field is free. */
export type PresenceData<S = Record<string, Untyped>> = PresenceFields & Partial<S>;

/** A room: a channel with settings of its own. */
export interface Room {
  name: string;
  metadata: Record<string, Untyped>;
  capacity: number | null;
  [setting: string]: Untyped;
}

/** The connection was lost, or closed. */
export interface Disconnection {
  /** The WebSocket close code, for every transport; 1006 if there was none. */
  code: number;
  reason: string;
  /** The same as an error, whose `code` is that of the protocol; without it the application has closed the connection. */
  error?: RealtimeError;
}

/** How a connection is carried. */
export type TransportName = "websocket" | "sse" | "polling";

/**
 * Whether there is a connection. `closed`: not connected, and no attempt is made; `connecting`: the first attempt; `open`: connected;
 * `offline`: there is no connection, and it is tried again; `needs-auth`: the server has refused the client's token or key; `failed`:
 * given up for another reason. After the last two, `connect()` tries again.
 */
export type ConnectionState = "closed" | "connecting" | "open" | "offline" | "needs-auth" | "failed";

/** Whether there is a connection, and if not, why. */
export interface ConnectionStatus {
  state: ConnectionState;
  /** Why there is none, if that is known. */
  reason?: string;
}
