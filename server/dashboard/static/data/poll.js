// Asking again and again, while the page is visible.

import { Away } from "./api.js";

const LONGEST = 15_000;

/**
 * Call `load` now, then `every` so many milliseconds after it has ended, until `signal` is aborted. A hidden page asks
 * nothing, and asks at once when it is shown again. While the server does not answer it is asked less and less often.
 * @param {(signal: AbortSignal) => Promise<void>} load
 * @param {number} every
 * @param {AbortSignal} signal
 * @returns {() => void} ask at once
 */
export function poll(load, every, signal) {
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  let timer;
  let running = false;
  let again = false;
  let failures = 0;

  async function run() {
    clearTimeout(timer);
    if (signal.aborted || document.hidden) return;
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      await load(signal);
      failures = 0;
    } catch (error) {
      failures = error instanceof Away ? failures + 1 : 0;
      if (!(error instanceof Away) && !signal.aborted) reportError(error);
    }
    running = false;
    const pause = again ? 0 : Math.min(LONGEST, every * 1.5 ** failures);
    again = false;
    timer = setTimeout(run, pause);
  }

  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}
