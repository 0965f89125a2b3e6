/** Channels and presence as stores. */

import type { Channel, ChannelOptions } from "../client/channel.js";
import type { Realtime } from "../client/realtime.js";
import type { AnyMessage } from "../client/typed_channel.js";
import type { RealtimeError } from "../protocol/errors.js";
import { ErrorCode } from "../protocol/codes.js";
import type { Message, PresenceData, Untyped, User } from "../protocol/types.js";
import { canonical, perClient, report, Shared, type Store } from "./shared.js";

/** Listeners of a channel by their events. */
export type Listeners<Events> = (unknown extends Events
  ? {
      /** Messages of one event. */
      [event: string]: ((message: Message) => void) | undefined;
    }
  : { [E in keyof Events & string]?: (message: Message<Events[E], E>) => void }) & {
  /** Every message. */
  "*"?: (message: AnyMessage<Events>) => void;
  /** Some messages will not come: no longer stored after a reconnect, or lost by the server in a channel without history. */
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
    const fail = (status: "subscribed" | "error", error: RealtimeError): void => {
      set({ status, error }, status === "error");
      report(error); // a page may not show it
    };
    const removers = [
      channel.on("subscribed", () => set({ status: "subscribed", error: undefined })),
      // A message that cannot be decrypted ends nothing.
      channel.on("error", (error) => fail(error.code === ErrorCode.InvalidMessage ? "subscribed" : "error", error)),
    ];
    channel.subscribe(set).catch((error: RealtimeError) => fail("error", error));
    return () => {
      removers.forEach((remove) => remove());
      void channel.unsubscribe(set); // which names this use
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

/** The users in a channel. */
export interface PresenceState {
  users: readonly User[];
  /** Why they are not known, or why the own presence was refused last. */
  error: RealtimeError | undefined;
}

const usersOf = perClient(() => new Shared<PresenceState>({ users: [], error: undefined }));

/** The users in a channel that is subscribed to with presence. */
export function presenceStore(client: Realtime, name: string): Store<PresenceState> {
  const all = usersOf(client);
  return all.store(name, (set) => {
    const channel = client.channel(name);
    const look = (): void =>
      void channel.getPresence().then(
        ({ users }) => set({ ...all.get(name), users }),
        (error: RealtimeError) => {
          // Before that it is asked for once more when it is; and why it is not, the channel's own store has.
          if (channelsOf(client).get(name).status !== "subscribed") return;
          set({ users: [], error });
          report(error);
        },
      );
    const events = ["presence:join", "presence:update", "presence:leave"] as const;
    const removers = events.map((event) => channel.on(event, look));
    removers.push(
      channel.on("subscribed", () => {
        set({ ...all.get(name), error: undefined });
        look();
      }),
    );
    look();
    return () => removers.forEach((remove) => remove());
  });
}

/**
 * What sends the own presence again when it has changed. `first` is what the channel is subscribed to with. The result is to be
 * called with what is wanted now, whenever that or the state of the subscription may have changed. A refusal is in the
 * {@link presenceStore} until one is accepted.
 */
export function ownPresence(
  first: PresenceData | undefined,
): (client: Realtime, name: string, state: ChannelState, own: PresenceData | undefined) => void {
  let sent = canonical(first);
  return (client, name, { status }, own) => {
    const wanted = canonical(own);
    if (status !== "subscribed" || sent === wanted || !own) return;
    sent = wanted;
    const done = (error?: RealtimeError): void => usersOf(client).change(name, (state) => ({ ...state, error }));
    client
      .channel(name)
      .updatePresence(own)
      .then(
        () => usersOf(client).get(name).error && done(),
        (error: RealtimeError) => {
          // One that was only cut off is sent with the next subscription; after a refusal the next change is tried.
          if (error.code === ErrorCode.ConnectionFailed) return void (sent = "");
          done(error);
          report(error);
        },
      );
  };
}
