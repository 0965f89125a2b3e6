/** Channels and presence. */

import type {
  AnyMessage,
  Channel,
  ChannelOptions,
  Message,
  PresenceData,
  RealtimeError,
  Realtime,
  Seen,
  User,
} from "@bunbase/sdk";
import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";
import { useRealtime } from "./provider.js";
import { canonical, perClient, Shared } from "./shared.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- channels without types are open, as in the SDK */

/** Listeners by their events; those of the last render are called. */
export type Listeners<Events> = (unknown extends Events
  ? { [event: string]: ((message: Message) => void) | undefined }
  : { [E in keyof Events & string]?: (message: Message<Events[E], E>) => void }) & {
  "*"?: (message: AnyMessage<Events>) => void;
  gap?: () => void;
};

/** A subscription to a channel. */
export interface ChannelResult<Events, State> {
  /** The channel of the SDK, to send with. */
  channel: Channel<Events, State>;
  /** `subscribing`; `subscribed`; `error`: refused, or ended. */
  status: "subscribing" | "subscribed" | "error";
  /** Why, or the last message that could not be decrypted. */
  error: RealtimeError | undefined;
}

interface ChannelState {
  status: ChannelResult<any, any>["status"];
  error: RealtimeError | undefined;
}

const SUBSCRIBING: ChannelState = { status: "subscribing", error: undefined };
const channelsOf = perClient(() => new Shared<ChannelState>(SUBSCRIBING));

/**
 * Subscribe to a channel while the component is mounted, with listeners for its events. Components that use the same channel share
 * the subscription, with the options of the first; it stays for a second after the last is gone.
 */
export function useChannel<Events = any, State = any>(
  name: string,
  listeners: Listeners<NoInfer<Events>> = {},
  options: ChannelOptions<NoInfer<Events>, State> = {},
): ChannelResult<Events, State> {
  const client = useRealtime();
  const latest = useRef<Record<string, ((value: any) => void) | undefined>>({});
  useEffect(() => {
    latest.current = listeners;
  });
  const events = Object.keys(listeners).sort().join("\n");
  useEffect(() => {
    if (!events) return;
    const channel = client.channel(name);
    const removers = events.split("\n").map((event) => channel.on(event, (value) => latest.current[event]?.(value)));
    return () => removers.forEach((remove) => remove());
  }, [client, name, events]);
  const { status, error } = useSubscription(client, name, options);
  return { channel: client.channel<Events, State>(name), status, error };
}

/** Subscribe, together with all components that use the channel. */
function useSubscription(client: Realtime, name: string, options: ChannelOptions<any, any>): ChannelState {
  const store = channelsOf(client);
  const subscribe = useCallback(
    (listener: () => void) => store.use(name, (set) => follow(client.channel(name, options), set), listener),
    // Options hold from the next subscription.
    [store, client, name],
  );
  return useSyncExternalStore(
    subscribe,
    () => store.get(name),
    () => SUBSCRIBING,
  );
}

function follow(channel: Channel, set: (state: ChannelState, over?: boolean) => void): () => void {
  let over = false;
  const fail = (error: RealtimeError): void => set({ status: "error", error }, (over = true));
  const removers = [
    channel.on("subscribed", () => set({ status: "subscribed", error: undefined })),
    // A message that cannot be decrypted ends nothing.
    channel.on("error", (error) => (error.code === "RT_007" ? set({ status: "subscribed", error }) : fail(error))),
  ];
  channel.subscribe().catch(fail);
  return () => {
    removers.forEach((remove) => remove());
    if (!over) void channel.unsubscribe();
  };
}

/** The users in a channel. */
export interface PresenceResult<State> {
  users: readonly User<Seen<State>>[];
  count: number;
  status: ChannelResult<any, any>["status"];
  error: RealtimeError | undefined;
}

const EMPTY: readonly User<any>[] = [];
const usersOf = perClient(() => new Shared<readonly User<any>[]>(EMPTY));

/**
 * Be present in a channel, and follow who else is. `own` is what others see, sent again when it changes.
 *
 * A component that subscribes to the same channel by {@link useChannel} needs `{ presence: true }` among its options.
 */
export function usePresence<State = any>(name: string, own?: PresenceData<Seen<State>>): PresenceResult<State> {
  const client = useRealtime();
  const { status, error } = useSubscription(client, name, { presence: own ?? true });
  const store = usersOf(client);
  const subscribe = useCallback(
    (listener: () => void) => store.use(name, (set) => watch(client.channel(name), set), listener),
    [store, client, name],
  );
  const users: readonly User<Seen<State>>[] = useSyncExternalStore(
    subscribe,
    () => store.get(name) as readonly User<Seen<State>>[],
    () => EMPTY as readonly User<Seen<State>>[],
  );
  const wanted = own ? canonical(own) : "";
  const sent = useRef(wanted); // by the subscription
  useEffect(() => {
    if (status !== "subscribed" || sent.current === wanted || !own) return;
    sent.current = wanted;
    client
      .channel(name)
      .updatePresence(own)
      .catch(() => {}); // refused: the next change is tried
  }, [client, name, status, wanted]);
  return { users, count: users.length, status, error };
}

function watch(channel: Channel, set: (users: readonly User<any>[]) => void): () => void {
  const look = (): void =>
    void channel.getPresence().then(
      ({ users }) => set(users),
      () => {},
    );
  const events = ["presence:join", "presence:update", "presence:leave", "subscribed"] as const;
  const removers = events.map((event) => channel.on(event as "presence:join", look));
  look();
  return () => removers.forEach((remove) => remove());
}
