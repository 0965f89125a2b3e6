/** A channel: its requests and its listeners. What it gets is in `channel_subscription`. */

import { ChannelSubscription, RESERVED, type ChannelOptions } from "./channel_subscription.js";
import { Emitter } from "../core/emitter.js";
import { equal } from "../core/equal.js";
import { mustBeText } from "../protocol/expected.js";
import { mustBeOneOf } from "./known.js";
import { checkValues, SEND_OPTIONS } from "./checks.js";
import type { RealtimeError } from "../protocol/errors.js";
import { uuid } from "../core/ids.js";
import type { AnyMessage, HistoryPage, Seen, SendOptions, Sent } from "./typed_channel.js";
import type { At, NameOf } from "./typed_query.js";
import type { MessageManager } from "../connection/message_manager.js";
import type { Ack, Message, Presence, PresenceData, Room, Untyped, User } from "../protocol/types.js";

export type { ChannelOptions } from "./channel_subscription.js";

const EVENTS = [
  "presence:join",
  "presence:update",
  "presence:leave",
  "room:created",
  "room:updated",
  "room:closed",
  "room:occupied",
  "room:vacated",
];

/** A `TypeError` for what no event is named. Names of messages are free, but for what events of presence and of rooms begin with. */
function mustBeEvent(event: unknown): void {
  mustBeText("event", event);
  if (/^(presence|room):/.test(event as string)) mustBeOneOf(EVENTS, event);
}

/**
 * A channel of one client. Made by {@link Realtime.channel}. `Events` has the data of its messages by the names of their events,
 * `State` what its users set as their presence; without them any name and any data is open.
 */
export class Channel<Events = Untyped, State = Untyped> {
  /** The channel's name. */
  readonly name: string;
  private _events = new Emitter();
  private _manager: MessageManager;
  private _subscription: ChannelSubscription;
  private _sealing: Promise<unknown> | undefined;

  /** @internal */
  constructor(name: string, manager: MessageManager, options: ChannelOptions) {
    this.name = name;
    this._manager = manager;
    this._subscription = new ChannelSubscription(name, manager, this._events, options);
  }

  /** @internal */
  _configure(options: ChannelOptions): void {
    const { _options, _ready } = this._subscription;
    for (const [name, value] of Object.entries(options))
      if (_ready && !equal(value, _options[name as keyof ChannelOptions]))
        console.warn(`[bunbase] ${this.name} is subscribed: its new ${name} holds from the next subscribe()`);
    Object.assign(_options, options);
  }

  /**
   * Subscribe, and stay subscribed over all reconnects until {@link unsubscribe}. Calls are counted: each needs its own
   * {@link unsubscribe}, also where the server has ended the subscription since, so parts of an application can share a channel. One
   * that throws needs none. What comes with it waits for the first listener of its event.
   *
   * @param use names the use: any value, such as an object of the component. Only {@link unsubscribe} with it ends this use.
   * @returns when the server has accepted it, or when it was unsubscribed, or the client disconnected, before that.
   * @throws {@link RealtimeError} if it is refused, or the connection is given up before.
   */
  subscribe(use?: unknown): Promise<void> {
    return this._subscription._start(use);
  }

  /**
   * Leave the channel once it was called as often as {@link subscribe}; other clients see it at once. Listeners stay. Of a subscription
   * that the server has ended it ends nothing, and no use that began later.
   *
   * @param use which use it ends: the name that {@link subscribe} got, or what it returned; nothing if that has ended or was refused.
   * Without it, any use without a name.
   */
  unsubscribe(use?: unknown): Promise<void> {
    return this._subscription._stop(use);
  }

  /**
   * Publish a message. One does not have to be subscribed. Without a connection it waits; it is sent again until the server has
   * acknowledged it, and stored once.
   *
   * @param sent its data; and options, such as the W3C trace context that it continues, which subscribers with `meta` get.
   * @returns when it is stored.
   * @throws {@link RealtimeError} if it is refused, or if too many wait already.
   */
  send<E extends NameOf<Events>>(event: E, ...sent: Sent<At<Events, E>>): Promise<Ack>;
  async send(event: string, data?: unknown, options: SendOptions = {}): Promise<Ack> {
    mustBeText("event", event);
    checkValues(options, SEND_OPTIONS);
    const { id: own = uuid(), ...trace } = options;
    const sealer = this._subscription._sealer();
    // One after the other: encryption takes time, and order must not depend on how much.
    if (sealer) {
      const sealed = sealer._seal(event, data);
      const before = this._sealing;
      this._sealing = Promise.allSettled([before, sealed]);
      await before;
      data = await sealed;
    }
    const { id, position } = await this._manager._send({
      type: "message",
      channel: this.name,
      event,
      data: data ?? null,
      id: own,
      ...trace,
    });
    return { id, position };
  }

  /**
   * Messages from before the subscription, a page at a time: those that it would have received, by its filter too. Sent again after
   * a reconnect.
   *
   * @param page `before`: the `before` of the last page, or the position of a message; the latest messages without it. `limit`: at
   * most 1000; default: 50. A page has at most 1 MiB.
   * @throws {@link RealtimeError} `RT_004` if one has not subscribed, `RT_007` if `before` is no position.
   */
  history(page: { before?: string | null; limit?: number } = {}): Promise<HistoryPage<Events>> {
    return this._subscription._history(page) as Promise<HistoryPage<Events>>;
  }

  /** A user has joined, changed, or left. */
  on(
    event: "presence:join" | "presence:update" | "presence:leave",
    listener: (user: User<Seen<State>>) => void,
  ): () => void;
  /** The room was made, changed, closed. When it is closed the subscription has ended. */
  on(event: "room:created" | "room:updated" | "room:closed", listener: (room: Room) => void): () => void;
  /**
   * The subscription has ended, or a message could not be decrypted. Without a listener it is an `error` of the client, which is
   * logged without one.
   */
  on(event: "error", listener: (error: RealtimeError) => void): () => void;
  /**
   * Some messages will not come: after a reconnect they are no longer stored, or the server has lost some of a channel without
   * history. Reload the displayed data.
   */
  on(event: "gap", listener: () => void): () => void;
  /** Subscribed, also after a reconnect. */
  on(event: "subscribed", listener: () => void): () => void;
  /** Any message. */
  on(event: "*", listener: (message: AnyMessage<Events>) => void): () => void;
  /** A message with this event. */
  on<E extends NameOf<Events>>(event: E, listener: (message: Message<At<Events, E>, E>) => void): () => void;
  /** A message with this event, in a channel without types; `*` is any. */
  on<T = Untyped>(event: unknown extends Events ? string : never, listener: (message: Message<T>) => void): () => void;
  on(event: string, listener: (value: Untyped) => void): () => void {
    mustBeEvent(event);
    const remove = this._events._add(event, listener);
    this._subscription._release(event === "*" || !RESERVED.test(event));
    return remove;
  }

  /** For an iterator: why no message can come, if it is so. @internal */
  _missing(): RealtimeError | undefined {
    return this._subscription._missing();
  }

  /** For an iterator: called with each message, and at the end, with the error if there is one. @internal */
  _read(reader: (what: Message | RealtimeError | undefined) => void, event = "*"): () => void {
    const end = this._events._add("", reader);
    const remove = this.on(RESERVED.test(event) ? "*" : (event as never), reader);
    return () => (end(), remove());
  }

  /**
   * Take a listener away; without one, all listeners of the event.
   * A `TypeError` for what is no event's name, and for a listener that is undefined.
   */
  off(event: string, listener?: (value: Untyped) => void): void;
  off(event: string, ...listener: [listener?: (value: Untyped) => void]): void {
    mustBeEvent(event);
    this._events._remove(event, ...listener);
  }

  /**
   * Change the own presence. Other fields stay. It is sent again after a reconnect (but not `typing`).
   *
   * @returns when the server has accepted it.
   * @throws {@link RealtimeError} `RT_009` if one has not subscribed with presence, or it cannot be.
   */
  updatePresence(data: PresenceData<Seen<State>>): Promise<void> {
    return this._subscription._present(data);
  }

  /**
   * The users in the channel now, kept from the server's messages.
   *
   * @throws {@link RealtimeError} `RT_009` if one has not subscribed, or not with presence.
   */
  getPresence(): Promise<Presence<Seen<State>>> {
    return this._subscription._getPresence() as Promise<Presence<Seen<State>>>;
  }
}
