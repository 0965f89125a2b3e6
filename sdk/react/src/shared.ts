/** What several components share: begun by the first that uses it, ended a moment after the last. */

/** How long what no component uses any more is kept, for one that is mounted again: ms. */
export const GRACE = 1000;

interface Entry<S> {
  state: S;
  /** Over: it is begun anew by the next component. */
  over: boolean;
  listeners: Set<() => void>;
  end: () => void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Sets the state. `over`: it does not change again. */
export type SetState<S> = (state: S, over?: boolean) => void;

/**
 * Values by key, each with a state that changes. Nothing is begun before a component is mounted, so rendering has no effects, on
 * servers neither.
 */
export class Shared<S> {
  private entries = new Map<string, Entry<S>>();

  constructor(private initial: S) {}

  /** The state of a key; the initial one if it has not begun. */
  get(key: string): S {
    return this.entries.get(key)?.state ?? this.initial;
  }

  /** Use a key: `begin` is called if it is the first, and returns what ends it. The result ends the use. */
  use(key: string, begin: (set: SetState<S>) => () => void, listener: () => void): () => void {
    const entry = this.entries.get(key) ?? this.begin(key, begin);
    clearTimeout(entry.timer);
    entry.listeners.add(listener);
    return () => {
      entry.listeners.delete(listener);
      if (entry.listeners.size) return;
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
      entry.state = state;
      entry.over = over;
      for (const listener of [...entry.listeners]) listener();
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

/** JSON that is equal for equal values: keys in their order, integers of any size. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (typeof each === "bigint") return { bigint: `${each}` };
    if (each === null || typeof each !== "object" || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
