/** Channels and presence as stores. */

import type { Channel, ChannelOptions } from "../client/channel.js";
import type { Realtime } from "../client/realtime.js";
import type { AnyMessage } from "../client/typed_channel.js";
import type { RealtimeError } from "../protocol/errors.js";
import { ErrorCode } from "../protocol/codes.js";
import type { Message, PresenceData, Untyped, User } from "../protocol/types.js";
import { canonical, perClient, Shared, type Store } from "./shared.js";

/** Listeners of a channel by their events. */
export type Listeners<Events> = (unknown extends Events
  ? {
      /** Messages of one event. */
      [event: string]: ((message: Message) => void) | undefined;
    }
  : { [E in keyof Events & string]?: (message: Message<Events[E], E>) => void }) & {
  /** Every message. */
  "*"?: (message: AnyMessage<Events>) => void;
  /** After a reconnect: some messages are not there any more. */
  gap?: () => void;
};

/** Where a subscription to a channel stands. */
export interface ChannelState {
  /** `subscribing`; `subscribed`; `error`: refused, or ended. */
  status: "subscribing" | "subscribed" | "error";
  /** Why, or the last message that could not be decrypted. */
  error: RealtimeError | undefined;
}

const SUBSCRIBING: ChannelState = { status: "subscribing", error: undefined };
const channelsOf = perClient(() => new Shared<ChannelState>(SUBSCRIBING));

/**
 * A subscription to a channel, which lasts while the store is followed. All stores of the channel share it, with the options of the
 * first that is followed.
 */
export function channelStore<Events, State>(
  client: Realtime,
  name: string,
  options: ChannelOptions<Events, State> = {},
): Store<ChannelState> {
  return channelsOf(client).store(name, (set) => {
    const channel = client.channel(name, options);
    let over = false;
    const fail = (error: RealtimeError): void => set({ status: "error", error }, (over = true));
    const removers = [
      channel.on("subscribed", () => set({ status: "subscribed", error: undefined })),
      // A message that cannot be decrypted ends nothing.
      channel.on("error", (error) =>
        error.code === ErrorCode.InvalidMessage ? set({ status: "subscribed", error }) : fail(error),
      ),
    ];
    channel.subscribe().catch(fail);
    return () => {
      removers.forEach((remove) => remove());
      if (!over) void channel.unsubscribe();
    };
  });
}

/** Add listeners for these events: those that `latest` has when a message comes are called. The result takes them away. */
export function listen(
  channel: Channel,
  events: readonly string[],
  latest: () => Record<string, ((value: Untyped) => void) | undefined>,
): () => void {
  const removers = events.map((event) => channel.on(event, (value) => latest()[event]?.(value)));
  return () => removers.forEach((remove) => remove());
}

const NO_USERS: readonly User[] = [];
const usersOf = perClient(() => new Shared(NO_USERS));

/** The users in a channel that is subscribed to with presence. */
export function presenceStore(client: Realtime, name: string): Store<readonly User[]> {
  return usersOf(client).store(name, (set) => {
    const channel = client.channel(name);
    const look = (): void =>
      void channel.getPresence().then(
        ({ users }) => set(users),
        () => {},
      );
    const events = ["presence:join", "presence:update", "presence:leave", "subscribed"] as const;
    const removers = events.map((event) => channel.on(event as "presence:join", look));
    look();
    return () => removers.forEach((remove) => remove());
  });
}

/**
 * What sends the own presence again when it has changed. `first` is what the channel is subscribed to with. The result is to be
 * called with what is wanted now, whenever that or the state of the subscription may have changed.
 */
export function ownPresence(
  first: PresenceData | undefined,
): (channel: Channel, state: ChannelState, own: PresenceData | undefined) => void {
  let sent = canonical(first);
  return (channel, { status }, own) => {
    const wanted = canonical(own);
    if (status !== "subscribed" || sent === wanted || !own) return;
    sent = wanted;
    channel.updatePresence(own).catch(() => {}); // refused: the next change is tried
  };
}
