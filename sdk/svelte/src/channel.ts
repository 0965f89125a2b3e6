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
import { useRealtime } from "./client.js";
import { getterOf, reader, whileMounted, type MaybeGetter } from "./store.js";

/* eslint-disable @typescript-eslint/no-explicit-any -- channels without types are open, as in the SDK */

export type { Listeners } from "@bunbase/sdk/adapters";

const nothing = (): void => {};

/** A subscription to a channel. Its fields are read when they are used: do not destructure it. */
export interface ChannelResult<Events, State> extends Readonly<ChannelState> {
  /** The channel of the SDK, to send with. */
  readonly channel: Channel<Events, State>;
}

/**
 * Subscribe to a channel while the component is mounted, with listeners for its events; to another one when `name`, if that is a
 * function, returns another. Components that use the same channel share the subscription, with the options of the first; it stays
 * for a second after the last is gone.
 */
export function useChannel<Events = any, State = any>(
  name: MaybeGetter<string>,
  listeners: Listeners<NoInfer<Events>> = {},
  options: ChannelOptions<NoInfer<Events>, State> = {},
): ChannelResult<Events, State> {
  const client = useRealtime();
  const nameNow = getterOf(name);
  whileMounted(nameNow, (now) => listen(client.channel(now), Object.keys(listeners), () => listeners));
  whileMounted(nameNow, (now) => channelStore(client, now, options).subscribe(nothing));
  const read = reader(() => channelStore(client, nameNow(), options));
  return {
    get channel() {
      return client.channel<Events, State>(nameNow());
    },
    get status() {
      return read().status;
    },
    get error() {
      return read().error;
    },
  };
}

/** The users in a channel. `error` is also why they are not known, or why the own presence was refused. Its fields are read when they are used: do not destructure it. */
export interface PresenceResult<State> extends Readonly<ChannelState> {
  /** The users. */
  readonly users: readonly User<Seen<State>>[];
  /** How many. */
  readonly count: number;
}

/**
 * Be present in a channel while the component is mounted, and follow who else is. `own` is what others see; what a function returns
 * is sent again when it changes.
 *
 * A component that subscribes to the same channel by {@link useChannel} needs `{ presence: true }` among its options.
 */
export function usePresence<State = any>(
  name: MaybeGetter<string>,
  own?: MaybeGetter<PresenceData<Seen<State>> | undefined>,
): PresenceResult<State> {
  const client = useRealtime();
  const nameNow = getterOf(name);
  const ownNow = getterOf(own);
  const subscription = (): ReturnType<typeof channelStore> =>
    channelStore(client, nameNow(), { presence: ownNow() ?? true });
  const read = reader(subscription);
  const present = reader(() => presenceStore(client, nameNow()));
  const update = ownPresence(ownNow());
  whileMounted(nameNow, () => subscription().subscribe(nothing));
  // What it depends on is read in it, and it does nothing twice.
  whileMounted(
    () => update(client, nameNow(), read(), ownNow()),
    () => nothing,
  );
  return {
    get users() {
      return present().users as readonly User<Seen<State>>[];
    },
    get count() {
      return present().users.length;
    },
    get status() {
      return read().status;
    },
    get error() {
      return read().error ?? present().error;
    },
  };
}
