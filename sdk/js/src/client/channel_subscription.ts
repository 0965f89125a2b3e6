/**
 * A channel's subscription: its position, which received messages are new, and what waits for listeners.
 *
 * The invariant: listeners get messages in order of their positions, each once, even if the server delivers some again. What nothing
 * listens to waits for the first listener of its event: messages without end while there is no listener of messages at all, then for
 * some seconds; other events for some seconds.
 */

import { ErrorCode } from "../protocol/codes.js";
import type { Encryption, Sealer } from "../protocol/crypto.js";
import type { Emitter } from "../core/emitter.js";
import { RealtimeError } from "../protocol/errors.js";
import type { Slot } from "../connection/link.js";
import { compare } from "../core/position.js";
import { PresenceState, type PresenceEvent } from "../core/presence.js";
import { mustBeObject } from "../protocol/expected.js";
import { stringify } from "../protocol/json.js";
import type { HistoryPage, Seen } from "./typed_channel.js";
import type { Condition, NameOf } from "./typed_query.js";
import type { MessageManager } from "../connection/message_manager.js";
import type { Subscription } from "../connection/subscription.js";
import type { Message, Presence, PresenceData, Untyped } from "../protocol/types.js";
import type { Delivered, PresenceMessage, RoomMessage, Subscribed, WireMessage } from "../protocol/wire.js";
/** How to subscribe to a channel, whose messages are `Events`, and whose users set `State`. */
export interface ChannelOptions<Events = Untyped, State = Untyped> {
  /** Join the presence list and receive it: `true`, or the own state. In `presence:*` channels it is on unless it is `false`. */
  presence?: boolean | PresenceData<Seen<State>>;
  /** The number of last messages to get first (up to 1000), also when some of the missed ones are no longer stored. */
  history?: number;
  /** Only messages with one of these events, and whose data meets the conditions. */
  filter?: { events?: NameOf<Events>[]; where?: Condition[] };
  /** Of the messages with the same value at the path `key` of their data, the latest, and at most one in `ms` milliseconds. */
  conflate?: { key: string; ms: number };
  /** Messages carry what their transaction was annotated with, and the trace context of their publisher, as `meta`. */
  meta?: boolean;
  /** Encrypt sent data, and decrypt received data: an `Encryption` of `@bunbase/sdk/crypto`. */
  encryption?: Encryption;
}

/**
 * Events of a channel besides its messages. A message of such a name is delivered under `*` only; those that `realtime.announce_occupancy()`
 * publishes are messages. @internal
 */
export const RESERVED = /^(error|gap|subscribed|\*)$|^(presence|room):(?!(occupied|vacated)$)/;
const REMEMBERED = 1000; // ids of messages
const HELD = 1000; // what waits for a listener at most; the oldest are dropped
const WAIT = 5000; // ms

/** From the first call of `subscribe()` until each of them has its `unsubscribe()`, also where the server ends it before. */
interface Shared {
  _promise: Promise<void>;
  _resolve: () => void;
  _reject: (error: RealtimeError) => void;
  /** What the calls returned, a promise for each, with the name that the use was given. */
  _uses: Map<Promise<void>, unknown>;
  /** Calls of `unsubscribe()` without a name: so many of the uses without one have ended. */
  _unnamed: number;
}

/** The channel's subscription, over all connections. @internal */
export class ChannelSubscription implements Subscription {
  readonly _isChannel = true;
  _begun = false;
  _ready: Shared | undefined;
  private _presence = new PresenceState();
  private _own: PresenceData = {};
  private _since: string | undefined; // what a resume goes on after: the last message, or where the first request began
  private _last: string | undefined; // the last message
  private _epoch: string | undefined;
  private _seen = new Set<string>(); // ids, with their senders
  private _jobs: (() => unknown)[] = [];
  private _busy = false;
  private _used = new Set<Shared>(); // `_ready`, behind those that have ended and are not left by all yet
  private _held: (() => boolean)[] = []; // wait for the first listener of their event; each returns whether it has been delivered or is too late
  private _until = Infinity; // when nothing waits any more; never, before there is a listener of messages
  private _due = false; // there is a listener that has not got what waits for it
  private _sealing: [Encryption, Sealer] | undefined;

  constructor(
    readonly _name: string,
    private _manager: MessageManager,
    private _events: Emitter,
    readonly _options: ChannelOptions,
  ) {}

  _start(name?: unknown): Promise<void> {
    let ready = this._ready;
    const first = !ready;
    if (!ready) {
      ready = this._ready = { _uses: new Map(), _unnamed: 0 } as unknown as Shared;
      ready._promise = new Promise((resolve, reject) => Object.assign(ready!, { _resolve: resolve, _reject: reject }));
      this._used.add(ready);
    }
    const use = ready._promise.then();
    ready._uses.set(use, name);
    if (first) this._manager._want(this);
    return use;
  }

  /** `name`: of the use, or what `_start` returned; without it, one of the oldest subscription that has a use without a name. */
  async _stop(name?: unknown): Promise<void> {
    let use: Promise<void> | undefined;
    const left = [...this._used].find(({ _uses }) => [..._uses].some((each) => each.includes(name) && ([use] = each)));
    if (!left) return;
    const uses = left._uses;
    const end = (use: Promise<void>): void => {
      use.catch(() => {}); // a refusal is not for who has left
      uses.delete(use);
    };
    if (name === undefined) left._unnamed++;
    else end(use!);
    const unnamed = [...uses.keys()].filter((each) => uses.get(each) === undefined);
    if (unnamed.length <= left._unnamed) {
      unnamed.forEach(end);
      left._unnamed = 0;
    }
    if (uses.size) return;
    this._used.delete(left);
    if (left !== this._ready) return;
    this._forget();
    this._jobs = []; // pending deliveries are dropped
    this._events._deliver(""); // iterators end
    left._resolve(); // superseded, which its caller has asked for
    return this._manager._leave(this);
  }

  _sealer(): Sealer | undefined {
    const { encryption } = this._options;
    if (encryption && this._sealing?.[0] !== encryption) this._sealing = [encryption, encryption._sealer(this._name)];
    return encryption && this._sealing?.[1];
  }

  async _present(data: PresenceData): Promise<void> {
    mustBeObject("presence", data);
    stringify({ presence: data });
    await this._subscribed0();
    const { typing, ...lasting } = data;
    if (lasting.status === "typing") delete lasting.status;
    const own = (): PresenceData => ({ ...this._own, ...lasting });
    const message = { type: "presence:update", channel: this._name } as const;
    // A repeated update has the whole state, without typing.
    await this._manager._send({ ...message, data }, () => ({ ...message, data: own() }));
    this._own = own(); // what was refused is not sent again
  }

  async _getPresence(): Promise<Presence> {
    await this._subscribed0();
    if (!(this._options.presence ?? this._name.startsWith("presence:")))
      throw this._refused(ErrorCode.PresenceRejected, "subscribe with { presence: true }");
    return this._presence._current();
  }

  async _history(page: { before?: string | null; limit?: number }): Promise<HistoryPage> {
    mustBeObject("options", page);
    await this._ready?._promise; // if it has not subscribed, the server refuses it
    const answer = await this._manager._send({ type: "history", channel: this._name, ...page });
    const messages: Message[] = [];
    for (const message of answer.messages!) {
      try {
        const data = await (this._sealer()?._open(message.event, message.data) ?? message.data);
        messages.push(shown({ ...message, data }));
      } catch (error) {
        this._error(error as RealtimeError);
      }
    }
    return { messages, before: answer.before! };
  }

  private _subscribed0(): Promise<void> {
    return this._ready?._promise ?? Promise.reject(this._refused(ErrorCode.PresenceRejected));
  }

  /** Why no message can come, if it is so. The end of a subscription may wait for a message that is decrypted. */
  _missing(): RealtimeError | undefined {
    return this._ready || this._jobs.length ? undefined : this._refused(ErrorCode.NotFound);
  }

  private _refused(code: ErrorCode, text = "subscribe to the channel first"): RealtimeError {
    return new RealtimeError(code, text, { channel: this._name });
  }

  // Called by the subscription manager.

  _request(): object {
    const { presence, history, encryption, ...asked } = this._options;
    const since = this._since;
    const own = { ...(typeof presence === "object" ? presence : {}), ...this._own };
    return {
      ...asked, // JSON skips what is undefined
      ...(since && { since, ...(this._epoch && { epoch: this._epoch }) }),
      // With since, it applies when that position is no longer stored; servers without epochs reject both together.
      ...(history && (!since || this._epoch) && { history }),
      ...(Object.keys(own).length ? { presence: own } : presence !== undefined && { presence }),
    };
  }

  _subscribed({ position, epoch, recovered, since, presence }: Subscribed, _: Slot, seamless: boolean): void {
    // What was recovered after this very position means the same in both histories: a standby that was promoted has it all.
    const foreign = epoch !== this._epoch && !(recovered && since === this._since);
    const lost = foreign || (recovered === false && !seamless);
    const gap = this._begun && lost;
    if (foreign) this._last = this._since = undefined;
    // Older messages may be still to follow: those after `since`, which older servers do not report.
    this._since = (lost && since) || this._since || position;
    this._epoch = epoch;
    const first = !this._begun;
    this._begun = true;
    if (first && this._until < Infinity) this._wait();
    this._do(() => {
      if (gap) this._events._deliver("gap");
      const events = presence ? this._presence._replace(presence.users) : [];
      if (!first) this._deliverPresence(events);
      this._ready?._resolve();
      this._events._deliver("subscribed");
      // The caller that awaits it can add listeners before the first message.
      return first ? new Promise((resolve) => setTimeout(resolve)) : undefined;
    });
  }

  _process(message: Delivered): void {
    if (!this._begun) return;
    if (message.type === "message") this._message(message);
    else if (isPresence(message)) this._do(() => this._deliverPresence(this._presence._apply(message)));
    else this._do(() => this._deliver(message.type, (message as RoomMessage).room ?? message));
  }

  _ended(error?: RealtimeError): void {
    const [ready, begun] = [this._ready!, this._begun];
    const refused = error && !begun;
    // Who was refused knows it; each other one has its call of `unsubscribe()` to come, which must not end a later use.
    if (refused) this._used.delete(ready);
    this._forget();
    this._do(() => {
      const read = this._events._deliver("", error);
      if (error && begun) this._error(error, read);
    });
    if (refused) ready._reject(error);
    else ready._resolve(); // the event about it may still wait for a message that is decrypted
  }

  private _forget(): void {
    this._begun = false;
    this._held = [];
    this._ready = this._since = this._last = this._epoch = undefined;
    this._seen.clear();
    this._presence = new PresenceState();
  }

  private _message(message: WireMessage): void {
    const { position } = message;
    if (this._last && compare(position, this._last) <= 0) return;
    this._since = this._last = position;
    // The server does not recognise a repeated message that it has not stored.
    if (this._seen.size === this._seen.add(JSON.stringify([message.id, message.sender, message.server])).size) return;
    if (this._seen.size > REMEMBERED) this._seen.delete(this._seen.values().next().value!);
    const data = this._sealer()?._open(message.event, message.data);
    data?.catch(() => {}); // reported below, in its order
    const jobs = this._jobs; // another list after unsubscribing
    this._do(() => {
      if (!data) return this._show(message);
      return data.then(
        (opened) => jobs === this._jobs && this._show({ ...message, data: opened }),
        (error: RealtimeError) => jobs === this._jobs && this._error(error),
      );
    });
  }

  /** There is a listener, perhaps of messages: it gets what waits for it when those that are added with it are there, too. */
  _release(ofMessages: boolean): void {
    if (ofMessages && this._until === Infinity) this._wait();
    if (this._due || !this._held.length) return;
    this._due = true;
    setTimeout(() => this._deliverHeld());
  }

  private _wait(): void {
    this._until = this._manager._settings._clock._now() + WAIT;
  }

  /** Deliver what waits to those that listen now. Where that adds a listener, or ends the subscription, it begins anew. */
  private _deliverHeld(): void {
    while (this._due) {
      this._due = false;
      for (let at = 0; at < this._held.length && !this._due;)
        if (this._held[at]!()) this._held.splice(at, 1);
        else at++;
    }
  }

  /** Deliver an event, or let it wait for a listener: other ones than messages for some time at most. */
  private _deliver(event: string, value: unknown, isMessage?: true): void {
    const { _clock } = this._manager._settings;
    const most = isMessage ? Infinity : _clock._now() + WAIT;
    const over = (): boolean => _clock._now() >= Math.min(this._until, most);
    const name = isMessage && RESERVED.test(event) ? "*" : event;
    const deliver = (): boolean => this._events._deliver(name, value, isMessage && "*");
    this._due ||= over();
    this._deliverHeld();
    if (!deliver() && this._held.push(() => over() || deliver()) > HELD) this._held.shift();
  }

  private _error(error: RealtimeError, read?: boolean): void {
    if (!this._events._deliver("error", error) && !read) this._manager._report(error);
  }

  private _show(message: WireMessage): void {
    this._deliver(message.event, shown(message), true);
  }

  private _deliverPresence(events: PresenceEvent[]): void {
    for (const [event, user] of events) this._deliver(event, user);
  }

  /** Run jobs one after the other, at once if none is running. */
  private _do(job: () => unknown): void {
    this._jobs.push(job);
    if (!this._busy) void this._work();
  }

  private async _work(): Promise<void> {
    this._busy = true;
    for (let job; (job = this._jobs.shift());) {
      const under = job();
      if (under instanceof Promise) await under;
    }
    this._busy = false;
  }
}

/** As the application sees it. */
function shown({ type, server, ...message }: WireMessage): Message {
  return message;
}

const isPresence = (message: Delivered): message is PresenceMessage => message.type.startsWith("presence:");
