/** The client: its events, and its channels and queries. */

import { Channel, type ChannelOptions } from "./channel.js";
import { Emitter } from "../core/emitter.js";
import { RealtimeError } from "../protocol/errors.js";
import { mustBeText } from "../protocol/expected.js";
import { stringify } from "../protocol/json.js";
import { CHANNEL_OPTIONS, checkValues } from "./checks.js";
import { Collection, type Database } from "./query.js";
import { SendQueue } from "../core/send_queue.js";
import { MessageManager } from "../connection/message_manager.js";
import { settingsOf, type Internals, type RealtimeOptions } from "./client_options.js";
import { mustBeOneOf, mustTime } from "./known.js";
import { connect } from "./options.js";
import { ErrorCode } from "../protocol/codes.js";
import type {
  ConnectionState,
  ConnectionStatus,
  Disconnection,
  Message,
  TransportName,
  Untyped,
} from "../protocol/types.js";

const EVENTS = ["connected", "disconnected", "error", "status", "state", "transport", "message", "gap"];

/**
 * A client with one connection, which all its channels and live queries share.
 *
 * ```ts
 * const realtime = new Realtime({ apiKey: "your-api-key" });
 * const channel = realtime.channel("chat:room-123", { presence: true });
 * await channel.subscribe();
 * channel.on("new-message", (message) => console.log(message.data));
 * await channel.send("new-message", { text: "Hello!" });
 * ```
 *
 * `Collections` has the types of the documents by the collections' names, as `realtime types` writes them.
 */
export class Realtime<Collections = Untyped> {
  private _events = new Emitter();
  /** @internal */
  readonly _manager: MessageManager;
  private _channels = new Map<string, Channel>();
  private _names: TransportName[];
  private _unwatch: (() => void) | undefined;
  private _status: ConnectionStatus = { state: "closed" };

  constructor(options?: RealtimeOptions);
  /** @internal */
  constructor(options: RealtimeOptions | undefined, internals: Internals);
  constructor(options: RealtimeOptions = {}, internals?: Internals) {
    const { _names, _connection, _queueLimit, _autoConnect } = settingsOf(options, internals);
    this._names = _names;
    this._manager = new MessageManager(_connection, this._events, new SendQueue(_queueLimit));
    this._events._add("", () => this._statusChanged());
    if (_autoConnect) (this._manager._attempt = () => this.connect())();
  }

  /** The `state` of {@link status}. */
  get state(): ConnectionState {
    return this._status.state;
  }

  /** Whether there is a connection, and if not, why. */
  get status(): ConnectionStatus {
    return this._status;
  }

  /**
   * When the next attempt to connect begins, in milliseconds as `performance.now()` counts them: for a countdown. Undefined where
   * none is planned, or one is under way.
   */
  get retryAt(): number | undefined {
    return this._manager._connection._retryAt;
  }

  /** How the connection is carried; undefined without one. */
  get transport(): TransportName | undefined {
    const link = this._manager._connection._active;
    return link && this._names[link._index];
  }

  /** The server's name for this connection; undefined without one. */
  get connectionId(): string | undefined {
    return this._manager._connection._active?._hello!.connectionId;
  }

  /** Connect, if it is not. */
  connect(): void {
    this._unwatch?.();
    this._unwatch = connect(this._manager);
  }

  /**
   * Close the connection; other clients see this one leave at once. {@link connect} restores the subscriptions, and so does the next
   * call that needs a connection, unless `autoConnect` is false. Waiting messages are refused with `RT_001`. Calls of `subscribe()`
   * that have not been answered yet return, without a subscription: a component that cleans up has no error.
   */
  disconnect(): void {
    this._unwatch?.();
    this._unwatch = undefined;
    this._manager._disconnect();
  }

  /** The network has changed or returned: reconnect at once, and check an open connection. Browsers report that by themselves. */
  reconnectNow(): void {
    this._manager._connection._reconnectNow();
  }

  /** Connected, also again. */
  on(event: "connected", listener: () => void): () => void;
  /** The connection is lost, or was closed. */
  on(event: "disconnected", listener: (how: Disconnection) => void): () => void;
  /**
   * The connection failed for good (`RT_001`), or an error for which there is no other listener, such as of a live query without
   * `onError`. Without a listener it is logged by `console.error`.
   */
  on(event: "error", listener: (error: RealtimeError) => void): () => void;
  /** The status has changed: the state, or the reason for it. */
  on(event: "status", listener: (status: ConnectionStatus) => void): () => void;
  /** The state has changed. */
  on(event: "state", listener: (state: ConnectionState) => void): () => void;
  /** Another connection is in use, perhaps over another transport. */
  on(event: "transport", listener: () => void): () => void;
  /** A message to this connection or user rather than to a channel. A `TypeError` for an event that there is not. */
  on(event: "message", listener: (message: Message) => void): () => void;
  /** Such a message may have been missed: the server's own stream has lacked some, and no table has them. */
  on(event: "gap", listener: () => void): () => void;
  on(event: string, listener: (value: Untyped) => void): () => void {
    mustBeOneOf(EVENTS, event);
    return this._events._add(event, listener);
  }

  /**
   * Take a listener away; without one, all listeners of the event.
   * A `TypeError` for an event that there is not, and for a listener that is undefined.
   */
  off(event: string, listener?: (value: Untyped) => void): void;
  off(event: string, ...listener: [listener?: (value: Untyped) => void]): void {
    mustBeOneOf(EVENTS, event);
    this._events._remove(event, ...listener);
  }

  /**
   * A channel by its name. The same name gives the same object; options hold from the next `subscribe()`. A `TypeError` for an unknown
   * option, and for the names of collections, `db:…`, which {@link database} is for.
   */
  channel<Events = Untyped, State = Untyped>(
    name: string,
    options: ChannelOptions<Events, State> = {},
  ): Channel<Events, State> {
    mustBeText("channel", name);
    if (name.startsWith("db:")) throw new TypeError(`${name}: no channel; use database().collection()`);
    checkValues(options, CHANNEL_OPTIONS);
    stringify({ ...options, encryption: undefined }); // what JSON would drop or change is an error where it is written
    let channel = this._channels.get(name);
    if (channel) channel._configure(options as ChannelOptions);
    else this._channels.set(name, (channel = new Channel(name, this._manager, { ...options } as ChannelOptions)));
    return channel as Channel<Events, State>;
  }

  /**
   * Wait until this client has all that a write has caused: its live queries show it, its channels have delivered it. So what an
   * application shows in advance can go at that moment.
   *
   * @param position what `realtime.position()` returned in SQL, in the transaction or after it; or the `position` of a message or
   * a snapshot.
   * @param timeout milliseconds.
   * @throws {@link RealtimeError} `RT_004` if the transaction was rolled back, `RT_007` if it is no position of this database,
   * `RT_001` if it takes too long; without a connection its message has the state and the reason for that.
   */
  async whenSeen(position: string, timeout = 30_000): Promise<void> {
    mustBeText("position", position);
    mustTime(timeout);
    await new Promise((resolve, reject) => {
      const late = (): void => reject(this._manager._late(`${position} was not seen`, timeout));
      const cancel = this._manager._after(timeout, late);
      this._manager._send({ type: "seen", position }).then(resolve, reject).finally(cancel);
    });
  }

  /** Live queries. */
  database(): Database<Collections> {
    return { collection: (name) => new Collection(() => this._manager, name) };
  }

  private _statusChanged(): void {
    const { _state, _reason, _refusal } = this._manager._connection;
    const reason = _state === "open" ? "" : _reason;
    const state = _refusal?.code === ErrorCode.AuthenticationFailed ? "needs-auth" : _state;
    const changed = state !== this.state;
    if (!changed && reason === (this._status.reason ?? "")) return;
    this._status = { state, ...(reason && { reason }) };
    this._events._deliver("status", this._status);
    if (!changed || state !== this.state) return; // a listener may have disconnected
    this._events._deliver("state", state);
    if (state === "open") this._events._deliver("connected");
  }
}
