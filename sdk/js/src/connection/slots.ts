/** The requests of one link: its slots, by the names in messages. */

import type { Slot } from "./link.js";
import type { Subscription } from "./subscription.js";

/** @internal */
export class Slots {
  readonly _of = new Map<Subscription, Slot>();
  private _byId = new Map<string, Subscription>();
  private _byChannel = new Map<string, Subscription>();

  _add(subscription: Subscription, slot: Slot): void {
    this._of.set(subscription, slot);
    this._byId.set(slot._id, subscription);
    if (subscription._isChannel) this._byChannel.set(subscription._name, subscription);
  }

  _forget(subscription: Subscription): void {
    this._byId.delete(this._of.get(subscription)!._id);
    this._of.delete(subscription);
    if (this._byChannel.get(subscription._name) === subscription) this._byChannel.delete(subscription._name);
  }

  _has(id: string): boolean {
    return this._byId.has(id);
  }

  /** The slot of a message. A channel's messages have ids of their own. */
  _find({
    id,
    channel,
    type,
  }: {
    id?: string | undefined;
    channel?: string | undefined;
    type: string;
  }): Subscription | undefined {
    return type === "message" || id === undefined ? this._byChannel.get(channel!) : this._byId.get(id);
  }
}
