/** The users in a channel, kept from the server's messages. Each real change is one event. */

import { equal } from "./equal.js";
import type { Presence, User } from "../protocol/types.js";
import type { PresenceMessage } from "../protocol/wire.js";

/** @internal */
export type PresenceEvent = [event: string, user: User];

/** @internal */
export class PresenceState {
  private _users = new Map<string, User>();

  /** The users present now. */
  _current(): Presence {
    return { users: [...this._users.values()], count: this._users.size };
  }

  /** The whole state, with which a subscription begins; returns the changes. */
  _replace(users: User[]): PresenceEvent[] {
    const before = this._users;
    this._users = new Map(users.map((user) => [user.id, user]));
    const left = [...before.values()].filter((user) => !this._users.has(user.id));
    return [
      ...left.map((user): PresenceEvent => ["presence:leave", user]),
      ...users.flatMap((user) => changed(before.get(user.id), user)),
    ];
  }

  /** A `presence:…` message. */
  _apply(message: PresenceMessage): PresenceEvent[] {
    const { user } = message;
    const before = this._users.get(user.id);
    if (message.type === "presence:leave") return this._users.delete(user.id) ? [["presence:leave", user]] : [];
    this._users.set(user.id, user);
    return changed(before, user);
  }
}

function changed(before: User | undefined, now: User): PresenceEvent[] {
  if (!before) return [["presence:join", now]];
  // Not by lastSeen: that changes while a connection is broken, which is no event.
  return equal([before.metadata, before.state], [now.metadata, now.state]) ? [] : [["presence:update", now]];
}
