/** Time and random numbers, replaceable in tests. */

/** @internal */
export interface Clock {
  /** Milliseconds; monotonic. */
  now(): number;
  /** Call `run` after `ms` milliseconds; the result cancels it. */
  after(ms: number, run: () => void): () => void;
  /** At least 0, less than 1. */
  readonly random: () => number;
}

/** @internal */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};
