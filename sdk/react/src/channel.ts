/** Channels and presence. */

import type { Channel, ChannelOptions, PresenceData, Seen, User } from "@bunbase/sdk";
import {
  channelStore,
  listen,
  ownPresence,
  presenceStore,
  type ChannelState,
  type Listeners,
} from "@bunbase/sdk/adapters";
import { useEffect, useRef } from "react";
import { useRealtime } from "./provider.js";
import { useStore } from "./store.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- channels without types are open, as in the SDK */

export type { Listeners } from "@bunbase/sdk/adapters";

/** A subscription to a channel. */
export interface ChannelResult<Events, State> extends ChannelState {
  /** The channel of the SDK, to send with. */
  channel: Channel<Events, State>;
}

/**
 * Subscribe to a channel while the component is mounted, with listeners for its events; those of the last render are called.
 * Components that use the same channel share the subscription, with the options of the first; it stays for a second after the last
 * is gone.
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
    if (events) return listen(client.channel(name), events.split("\n"), () => latest.current);
  }, [client, name, events]);
  const state = useStore(client, channelStore(client, name, options));
  return { channel: client.channel<Events, State>(name), ...state };
}

/** The users in a channel. `error` is also why they are not known, or why the own presence was refused. */
export interface PresenceResult<State> extends ChannelState {
  /** The users. */
  users: readonly User<Seen<State>>[];
  /** How many. */
  count: number;
}

/**
 * Be present in a channel, and follow who else is. `own` is what others see, sent again when it changes.
 *
 * A component that subscribes to the same channel by {@link useChannel} needs `{ presence: true }` among its options.
 */
export function usePresence<State = any>(name: string, own?: PresenceData<Seen<State>>): PresenceResult<State> {
  const client = useRealtime();
  const state = useStore(client, channelStore(client, name, { presence: own ?? true }));
  const present = useStore(client, presenceStore(client, name));
  const users = present.users as readonly User<Seen<State>>[];
  const update = useRef<ReturnType<typeof ownPresence>>(undefined);
  update.current ??= ownPresence(own);
  useEffect(() => update.current!(client, name, state, own));
  return { users, count: users.length, ...state, error: state.error ?? present.error };
}
