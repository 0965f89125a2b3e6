/** The interface of a subscription to the subscription manager. */

import type { RealtimeError } from "../protocol/errors.js";
import type { Slot } from "./link.js";
import type { Delivered, Subscribed } from "../protocol/wire.js";

/** A channel or a live query. @internal */
export interface Subscription {
  /** The name in the protocol. */
  readonly _name: string;
  /** Messages name only the channel, so there is one subscription to it. */
  readonly _isChannel: boolean;
  /** The fields of the `subscribe` message besides type, channel and id; from now on answers belong to `slot`. */
  _request(slot: Slot): object;
  /** `seamless`: the link before has delivered everything up to here. */
  _subscribed(message: Subscribed, slot: Slot, seamless: boolean): void;
  _process(message: Delivered, slot: Slot): void;
  /**
   * The server has ended or refused it; or the connection was given up before it had begun. No error: it has not begun, and the application
   * has disconnected.
   */
  _ended(error?: RealtimeError): void;
  /** It has begun at some time. */
  readonly _begun: boolean;
}
