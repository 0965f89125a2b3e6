/** How long to wait before trying again: exponential, with full jitter, so that clients that lost their server together spread. */

/** Milliseconds before attempt number `attempt` (from 0): at random up to `base · 2^attempt`, at most `cap`. @internal */
export const fullJitter = (attempt: number, base: number, cap: number, random: () => number): number =>
  random() * Math.min(cap, base * 2 ** attempt);

/** Milliseconds before a request is repeated: at random up to 600, doubled each time, at most 30,000. @internal */
export const requestPause = (attempt: number): number => fullJitter(attempt, 600, 30_000, Math.random);
