/** Live queries and channels as async iterators, for `for await`. */

import { expected, mustBeObject, mustBeText } from "../protocol/expected.js";
import { ErrorCode } from "../protocol/codes.js";
import { RealtimeError } from "../protocol/errors.js";
import { difference, type Change, type Doc, type Snapshot } from "../core/snapshot.js";
import { Stream } from "../core/stream.js";
import type { Message, Untyped } from "../protocol/types.js";
import type { Channel } from "./channel.js";
import { onlyKnown } from "./known.js";
import type { LiveQuery, SnapshotOptions } from "./query.js";
import type { AnyMessage } from "./typed_channel.js";
import type { At, NameOf } from "./typed_query.js";

/** Snapshots of a query, for `for await`. Made by {@link snapshots}. */
export type Snapshots<T = Untyped> = AsyncIterableIterator<Snapshot<T>>;

/**
 * Follow a query with `for await`; `break` unsubscribes. What waits is one snapshot: a loop that is slower than the changes gets fewer
 * of them, each with the changes since the one before. An error of the query is thrown.
 */
export function snapshots<T = Untyped>(query: LiveQuery<T>, options?: SnapshotOptions): Snapshots<T> {
  let waiting: Snapshot<T> | undefined;
  let skipped = false; // there was one before it, which was not taken
  let taken: readonly Doc<T>[] | undefined;
  const stream = new Stream<Snapshot<T>>(
    () => {
      const [now, before, whole] = [waiting, taken, !skipped];
      if (!now) return;
      waiting = undefined;
      skipped = false;
      taken = now.docs;
      if (whole) return now;
      const changes = difference(before ?? [], taken) as Change<T>[];
      if (before && !changes.length) return; // it is again as it was
      const { meta, ...rest } = now; // of one of several transactions
      return { ...rest, changes };
    },
    () => live?.unsubscribe(),
  );
  const live: { unsubscribe(): void } | undefined = query.onSnapshot(
    (snapshot) => {
      skipped ||= !!waiting;
      waiting = snapshot;
      stream._wake();
    },
    (error) => stream._end(error),
    options,
  );
  return stream;
}

/** How many messages wait for the loop. */
export interface MessagesOptions {
  /** How many messages may wait. Default: 1000. */
  buffer?: number;
  /**
   * One more than that ends the iteration with a {@link RealtimeError} (`RT_001`) after those that wait (`error`, the default); or the
   * oldest is skipped, and counted (`drop-oldest`).
   */
  overflow?: "error" | "drop-oldest";
}

/** Messages of a channel, for `for await`. Made by {@link messages}. */
export interface Messages<M> extends AsyncIterableIterator<M> {
  /** How many were skipped, with `drop-oldest`. */
  readonly dropped: number;
}

/**
 * The messages of a channel from now on, and those that have waited for a listener, for `for await`. It collects until `break`,
 * and ends when the channel is unsubscribed; it does not subscribe or unsubscribe. If the channel is refused or ends, that error is thrown;
 * a loop over it while the channel is not subscribed to throws a {@link RealtimeError} (`RT_004`).
 *
 * @param event only messages with this event.
 */
export function messages<Events, State, E extends NameOf<Events>>(
  channel: Channel<Events, State>,
  event: E,
  options?: MessagesOptions,
): Messages<Message<At<Events, E>, E>>;
/** All messages of a channel. */
export function messages<Events, State>(
  channel: Channel<Events, State>,
  event?: undefined,
  options?: MessagesOptions,
): Messages<AnyMessage<Events>>;
export function messages(channel: Channel, event?: string, options: MessagesOptions = {}): Messages<Message> {
  mustBeObject("options", options);
  const { buffer = 1000, overflow = "error", ...unknown } = options;
  onlyKnown(unknown);
  if (event !== undefined) mustBeText("event", event);
  if (overflow !== "error" && overflow !== "drop-oldest") expected("overflow", "error or drop-oldest", overflow);
  if (!(buffer >= 1)) expected("buffer", "a number from 1", buffer);
  const waiting: Message[] = [];
  const stream = new Stream<Message>(
    () => {
      const missing = !waiting.length && channel._missing();
      if (missing) stream._end(missing); // no effect once it has ended
      return waiting.shift();
    },
    () => remove(),
  );
  const found = Object.assign(stream, { dropped: 0 });
  const remove = channel._read((what) => {
    if (!what || what instanceof RealtimeError) return stream._end(what);
    if (event !== undefined && event !== what.event) return;
    if (waiting.length >= buffer) {
      if (overflow === "error") {
        const text = `more than ${buffer} messages waited for an iterator over them`;
        return stream._end(new RealtimeError(ErrorCode.ConnectionFailed, text, what));
      }
      waiting.shift();
      found.dropped++;
    }
    waiting.push(what);
    stream._wake();
  }, event);
  return found;
}
