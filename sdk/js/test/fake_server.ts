/** A clock and a server in memory: a test moves the clock and sends the server's messages. */

import type { Clock } from "../src/connection/clock.js";
import type { Internals, RealtimeOptions } from "../src/client/client_options.js";
import { Realtime } from "../src/client/realtime.js";
import type { RealtimeError } from "../src/protocol/errors.js";
import type { Events, Transport } from "../src/transports/transport.js";
import type { Untyped } from "../src/protocol/types.js";
import type { ServerMessage } from "../src/protocol/wire.js";

/** A message as a test writes it: also one that a server would not send. */
export type Wire = { type: string; [field: string]: Untyped };

export class FakeClock implements Clock {
  private time = 0;
  private timers: { at: number; run: () => void }[] = [];
  chance = 1;

  _now(): number {
    return this.time;
  }

  _after(ms: number, run: () => void): () => void {
    const timer = { at: this.time + ms, run };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((each) => each !== timer);
    };
  }

  /** How many timers there are. */
  get waiting(): number {
    return this.timers.length;
  }

  readonly _random = (): number => this.chance;

  /** The machine sleeps: no timer runs until it is awake, and all are late then. */
  sleep(ms: number): void {
    this.time += ms;
  }

  /** Let time pass; what is due runs in order, and what waits for it gets its turn. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((each) => each !== next);
      this.time = Math.max(this.time, next.at);
      next.run();
      await flush();
    }
    this.time = end;
  }
}

/** Let everything that waits for no time and no server run. */
export const flush = (): Promise<void> => new Promise((resolve) => setTimeout(() => setImmediate(resolve)));

/** The server's end of one connection. */
export class Peer {
  /** The client's messages. */
  readonly received: Wire[] = [];
  open = true;

  constructor(
    readonly transport: number,
    private events: Events,
  ) {}

  /** Send messages to the client. */
  send(...messages: Wire[]): void {
    for (const message of messages) if (this.open) this.events._message(message as ServerMessage);
  }

  hello(more: object = {}): this {
    this.send({ type: "connected", connectionId: "c", epoch: "e", pingInterval: 25_000, ...more });
    return this;
  }

  end(code = 1006, reason = "", refused?: RealtimeError, retryAfter?: number): void {
    if (!this.open) return;
    this.open = false;
    this.events._closed(code, reason, refused, retryAfter);
  }

  /** A sign of life without a message. */
  alive(): void {
    this.events._received();
  }

  receive(text: string): void {
    this.received.push(JSON.parse(text) as Wire);
  }

  closed(): void {
    this.open = false;
  }

  /** The client's messages of this type. */
  of(type: string): Wire[] {
    return this.received.filter((message) => message.type === type);
  }

  /** Accept the last subscription to a channel. */
  subscribed(channel: string, more: object = {}): Wire {
    const { id } = this.of("subscribe")
      .filter((message) => message.channel === channel)
      .at(-1)!;
    const message = { type: "subscribed", channel, id, position: "0/10", epoch: "e", ...more };
    this.send(message);
    return message;
  }

  /** A message of a channel; its number is its position. */
  message(channel: string, number: number, more: object = {}): void {
    this.send({
      type: "message", channel, event: "n", data: number, id: `m${number}`, sender: null, timestamp: "2026-01-01T00:00:00Z",
      position: `0/${(16 + number).toString(16).toUpperCase()}/0`, ...more,
    }); // prettier-ignore
  }

  /** Acknowledge what was published and is not acknowledged yet. */
  acknowledge(): void {
    for (const { channel, ref, id } of this.of("message").splice(this.acknowledged)) {
      this.acknowledged++;
      this.send({ type: "ack", channel, ref, id, position: "0/20/0" });
    }
  }
  private acknowledged = 0;

  pong(): void {
    this.send({ type: "pong" });
  }
}

/** A server in memory with one `Peer` per connection; `realtime` is a client that knows only it and the clock. */
export class FakeServer {
  readonly clock = new FakeClock();
  readonly peers: Peer[] = [];
  readonly realtime: Realtime;
  /** The events of the client, in order. */
  readonly events: string[] = [];

  constructor(options: RealtimeOptions = {}) {
    const transport =
      (index: number): Transport =>
      (_, events) => {
        const peer = new Peer(index, events);
        this.peers.push(peer);
        return { _send: (text) => peer.receive(text), _close: () => peer.closed() };
      };
    const internals: Internals = {
      _clock: this.clock,
      _transports: (options.transports ?? [1, 2, 3]).map((_, index) => transport(index)),
    };
    this.realtime = new Realtime({ url: "http://test", WebSocket: Object as never, ...options }, internals);
    for (const event of ["connected", "disconnected"] as const)
      this.realtime.on(event as "connected", () => this.events.push(event));
    this.realtime.on("error", (error) => this.events.push(`error ${error.code}`));
  }

  /** The connection that was opened last. */
  get peer(): Peer {
    return this.peers.at(-1)!;
  }
}
