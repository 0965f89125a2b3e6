/** Time and random numbers, replaceable in tests. */

/** @internal */
export interface Clock {
  /** Milliseconds; monotonic. */
  _now(): number;
  /** Call `run` after `ms` milliseconds; the result cancels it. */
  _after(ms: number, run: () => void): () => void;
  /** At least 0, less than 1. */
  readonly _random: () => number;
}

/** @internal */
export const systemClock: Clock = {
  _now: () => performance.now(),
  _after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  _random: Math.random,
};
