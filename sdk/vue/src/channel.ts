/** Channels and presence. */

import type { Channel, ChannelOptions, PresenceData, RealtimeError, Seen, User } from "@bunbase/sdk";
import {
  channelStore,
  listen,
  ownPresence,
  presenceStore,
  type ChannelState,
  type Listeners,
} from "@bunbase/sdk/adapters";
import { computed, toValue, watchPostEffect, type ComputedRef, type MaybeRefOrGetter } from "vue";
import { useRealtime } from "./client.js";
import { useStore } from "./store.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- channels without types are open, as in the SDK */

export type { Listeners } from "@bunbase/sdk/adapters";

/** Where a subscription stands, as refs. */
export interface SubscriptionState {
  /** `subscribing`; `subscribed`; `error`: refused, or ended. */
  status: ComputedRef<ChannelState["status"]>;
  /** Why, or the last message that could not be decrypted. */
  error: ComputedRef<RealtimeError | undefined>;
}

/** A subscription to a channel. */
export interface ChannelResult<Events, State> extends SubscriptionState {
  /** The channel of the SDK, to send with. */
  channel: ComputedRef<Channel<Events, State>>;
}

const refs = (state: ComputedRef<ChannelState>): SubscriptionState => ({
  status: computed(() => state.value.status),
  error: computed(() => state.value.error),
});

/**
 * Subscribe to a channel while the component is mounted, with listeners for its events; to another one when `name` changes.
 * Components that use the same channel share the subscription, with the options of the first; it stays for a second after the last
 * is gone.
 */
export function useChannel<Events = any, State = any>(
  name: MaybeRefOrGetter<string>,
  listeners: Listeners<NoInfer<Events>> = {},
  options: ChannelOptions<NoInfer<Events>, State> = {},
): ChannelResult<Events, State> {
  const client = useRealtime();
  watchPostEffect((onCleanup) =>
    onCleanup(listen(client.channel(toValue(name)), Object.keys(listeners), () => listeners)),
  );
  const state = useStore(() => channelStore(client, toValue(name), options));
  return { channel: computed(() => client.channel<Events, State>(toValue(name))), ...refs(state) };
}

/** The users in a channel. `error` is also why they are not known, or why the own presence was refused. */
export interface PresenceResult<State> extends SubscriptionState {
  /** The users. */
  users: ComputedRef<readonly User<Seen<State>>[]>;
  /** How many. */
  count: ComputedRef<number>;
}

/**
 * Be present in a channel, and follow who else is. `own` is what others see, sent again when it changes.
 *
 * A component that subscribes to the same channel by {@link useChannel} needs `{ presence: true }` among its options.
 */
export function usePresence<State = any>(
  name: MaybeRefOrGetter<string>,
  own?: MaybeRefOrGetter<PresenceData<Seen<State>> | undefined>,
): PresenceResult<State> {
  const client = useRealtime();
  const state = useStore(() => channelStore(client, toValue(name), { presence: toValue(own) ?? true }));
  const present = useStore(() => presenceStore(client, toValue(name)));
  const update = ownPresence(toValue(own));
  watchPostEffect(() => update(client, toValue(name), state.value, toValue(own)));
  return {
    users: computed(() => present.value.users as readonly User<Seen<State>>[]),
    count: computed(() => present.value.users.length),
    ...refs(state),
    error: computed(() => state.value.error ?? present.value.error),
  };
}
