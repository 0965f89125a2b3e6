/** What several parts of an application share: begun by the first that follows it, ended a moment after the last. */

import type { RealtimeError } from "../protocol/errors.js";

/** How long what is not followed any more is kept, for a component that is mounted again: ms. */
export const GRACE = 1000;

/** A value that changes. All that follow stores of one key share what is behind them. */
export interface Store<S> {
  /** What is followed; equal for equal queries of a client. */
  readonly key: string;
  /** The value before anything has begun; on a server that renders, the only one. */
  readonly initial: S;
  /** The value as it is now: the same object until it changes. */
  get(): S;
  /** Follow it: `listener` is called after each change. The result ends that. */
  subscribe(listener: () => void): () => void;
}

/** Sets the value. `over`: it does not change again, and the next that follows begins anew. */
export type SetState<S> = (state: S, over?: boolean) => void;

interface Entry<S> {
  state: S;
  over: boolean;
  listeners: Set<() => void>;
  end: () => void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * Values by key. Nothing is begun before one is followed, so making a store has no effects, and may be done while a page is
 * rendered, on servers too.
 */
export class Shared<S> {
  private entries = new Map<string, Entry<S>>();

  constructor(private initial: S) {}

  /** The store of a key. `begin` is called if it is the first to be followed, and returns what ends it. */
  store(key: string, begin: (set: SetState<S>) => () => void): Store<S> {
    return {
      key,
      initial: this.initial,
      get: () => this.get(key),
      subscribe: (listener) => this.use(key, begin, listener),
    };
  }

  /** The value of a key; the initial one if it has not begun. */
  get(key: string): S {
    return this.entries.get(key)?.state ?? this.initial;
  }

  /** Change the value of a key, if it has begun. */
  change(key: string, by: (state: S) => S): void {
    const entry = this.entries.get(key);
    if (!entry) return;
    entry.state = by(entry.state);
    for (const listener of [...entry.listeners]) listener();
  }

  private use(key: string, begin: (set: SetState<S>) => () => void, given: () => void): () => void {
    const entry = this.entries.get(key) ?? this.begin(key, begin);
    const listener = (): void => given(); // its own, also if one is given twice
    clearTimeout(entry.timer);
    entry.listeners.add(listener);
    return () => {
      if (!entry.listeners.delete(listener) || entry.listeners.size) return;
      clearTimeout(entry.timer);
      // What has failed is tried again by the next one.
      if (entry.over) this.end(key, entry);
      else entry.timer = setTimeout(() => this.end(key, entry), GRACE);
    };
  }

  private begin(key: string, begin: (set: SetState<S>) => () => void): Entry<S> {
    const entry: Entry<S> = { state: this.initial, over: false, listeners: new Set(), end: () => {}, timer: undefined };
    this.entries.set(key, entry);
    entry.end = begin((state, over = false) => {
      entry.over = over;
      if (this.entries.get(key) === entry) this.change(key, () => state);
    });
    return entry;
  }

  private end(key: string, entry: Entry<S>): void {
    if (this.entries.get(key) !== entry) return;
    this.entries.delete(key);
    entry.end();
  }
}

/** One thing of each kind for each client. */
export function perClient<T>(make: () => T): (client: object) => T {
  const made = new WeakMap<object, T>();
  return (client) => {
    let found = made.get(client);
    if (found === undefined) made.set(client, (found = make()));
    return found;
  };
}

/** Log an error, as the SDK does with one that has no listener. */
export function report({ code, channel, message }: RealtimeError): void {
  console.error(`[bunbase] ${code}${channel ? ` ${channel}` : ""}: ${message}`);
}

/** JSON that is equal for equal values: keys in their order, integers of any size. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (typeof each === "bigint") return { bigint: `${each}` };
    if (each === null || typeof each !== "object" || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
