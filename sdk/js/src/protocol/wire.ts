/** The messages of the protocol, as the server sends them. */

import type { ErrorCode } from "./codes.js";
import type { Message, Presence, Room, Untyped, User } from "./types.js";

/** The first message of a connection. @internal */
export interface Connected {
  type: "connected";
  connectionId: string;
  pingInterval?: number;
  limits?: { messagesPerSecond?: number; messageSize?: number; subscriptions?: number };
  /** The secret of an SSE or polling session. */
  session?: string;
}

/** A subscription is open. @internal */
export interface Subscribed {
  type: "subscribed";
  channel: string;
  id?: string;
  position: string;
  epoch?: string;
  recovered?: boolean;
  /** Channels, if the past was asked for: every message after this position follows. */
  since?: string;
  presence?: Presence;
  /** Live queries: how the server keeps them. */
  strategy?: "incremental" | "re-read";
  /** Why it is read again. */
  reason?: string;
}

/** A request that carries a `ref` was carried out. @internal */
export interface Acknowledged {
  type: "ack" | "seen" | "history";
  channel: string;
  ref: string;
  id: string;
  position?: string;
  /** Of `history`: a page of the past, oldest first, and the position that gives the page before it. */
  messages?: WireMessage[];
  before?: string | null;
}

/** A request was rejected, or a subscription has ended. @internal */
export interface Rejected {
  type: "error";
  code: ErrorCode;
  message: string;
  channel?: string | undefined;
  id?: string | undefined;
  ref?: string | undefined;
  retryAfter?: number;
}

/** A change of a live query's list. @internal */
export interface WireChange {
  type: "added" | "modified" | "removed";
  /** Without `data`: as it was, but for the fields of `changed`. */
  doc: { id: string; data?: unknown; changed?: Record<string, unknown> };
  oldIndex: number;
  newIndex: number;
}

/** Changes of a live query's list, or with `reset` the list itself. @internal */
export interface WireSnapshot {
  type: "snapshot";
  channel: string;
  id: string;
  position: string;
  reset?: boolean;
  changes: WireChange[];
  meta?: Record<string, Untyped>;
}

/** A user joined, changed or left. @internal */
export interface PresenceMessage {
  type: "presence:join" | "presence:update" | "presence:leave";
  channel: string;
  id?: string;
  user: User;
}

/** A room was created, changed or closed. @internal */
export interface RoomMessage {
  type: "room:created" | "room:updated" | "room:closed";
  channel: string;
  id?: string;
  room?: Room;
}

/** A message of a channel. @internal */
export type WireMessage = { type: "message"; server?: true } & Message<unknown>;

/** The messages of an open subscription. @internal */
export type Delivered = WireMessage | PresenceMessage | RoomMessage | WireSnapshot;

/** The server stops in `delay` milliseconds. @internal */
export interface Reconnect {
  type: "reconnect";
  delay: number;
}

/** A subscription has ended on request of the client. @internal */
export interface Unsubscribed {
  type: "unsubscribed";
  channel: string;
  id: string;
}

/** Everything that concerns a subscription or a request. @internal */
export type Routed = Subscribed | Unsubscribed | Acknowledged | Rejected | Delivered;

/** The messages that a link passes on. @internal */
export type Incoming = Routed | Reconnect;

/** The end of a connection that has no close frames. @internal */
export interface Closing {
  type: "close";
  code: number;
  reason: string;
}

/** About the token of the connection. @internal */
export type AboutToken = { type: "authenticated" } | { type: "auth:expiring" };

/** A message of the server. @internal */
export type ServerMessage = Connected | Closing | AboutToken | { type: "pong" } | Incoming;

/** A message of the client that is acknowledged. @internal */
export interface ClientMessage {
  type: "message" | "presence:update" | "seen" | "history";
  channel?: string;
  event?: string;
  data?: unknown;
  id?: string;
  position?: string;
  before?: string | null | undefined;
  limit?: number | undefined;
}

/** A request about a subscription. @internal */
export interface ControlMessage {
  type: "subscribe" | "unsubscribe";
  channel: string;
  id: string;
  [field: string]: unknown;
}
