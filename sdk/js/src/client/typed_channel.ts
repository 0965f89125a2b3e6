/** What a channel carries, by its events' names. Types alone, without a byte at run time; without `Events` everything is open. */

import type { Message, Untyped } from "../protocol/types.js";
import type { At, NameOf } from "./typed_query.js";

/** A message of any of the events, discriminated by its `event`. */
export type AnyMessage<Events> = unknown extends Events
  ? Message
  : { [E in NameOf<Events>]: Message<At<Events, E>, E> }[NameOf<Events>];

/** A page of a channel's past, oldest first. */
export interface HistoryPage<Events = Untyped> {
  /** With a filter they may be few, or none, although there are earlier ones. */
  messages: AnyMessage<Events>[];
  /** Gives the page before this one; null: there is none. */
  before: string | null;
}

/** The W3C trace context that a message continues. */
export interface Trace {
  traceparent?: string;
  tracestate?: string;
}

/** What goes with a message besides its data. */
export interface SendOptions extends Trace {
  /**
   * The message's id, for those that show a message before it is stored. A channel stores an id once. Default: a random one.
   */
  id?: string;
}

/** What follows the event when it is sent: its data, which is optional if it can be null or undefined. */
export type Sent<Data> = unknown extends Data
  ? [data?: unknown, options?: SendOptions]
  : null extends Data
    ? [data?: Data, options?: SendOptions]
    : undefined extends Data
      ? [data?: Data, options?: SendOptions]
      : [data: Data, options?: SendOptions];

/** What users set, as others see it: each sets what it likes. */
export type Seen<State> = unknown extends State ? Record<string, Untyped> : Partial<State>;
