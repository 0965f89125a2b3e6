/** Listeners by the name of an event. An exception in one does not affect the other ones. */

import { mustCall } from "../protocol/expected.js";
import type { Untyped } from "../protocol/types.js";

/** @internal */
export type Listener = (value: Untyped) => void;

/** Call a function of the application; its exceptions are reported as uncaught. @internal */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    setTimeout(() => {
      throw error;
    });
  }
}

/** @internal */
export class Emitter {
  private _listeners = new Map<string, Set<Listener>>();

  _add(event: string, listener: Listener): () => void {
    mustCall(event, listener);
    this._listeners.set(event, (this._listeners.get(event) ?? new Set()).add(listener));
    return () => this._remove(event, listener);
  }

  /** Without a listener, all of the event. One that is undefined is a mistake, such as a misspelt name. */
  _remove(event: string, ...given: [listener?: Listener]): void {
    if (given.length) {
      mustCall(event, given[0]);
      this._listeners.get(event)?.delete(given[0]!);
    } else this._listeners.delete(event);
  }

  /** Call the listeners of the event, then those of `also` that are there now. Returns whether there are any. */
  _deliver(event: string, value?: unknown, also = event): boolean {
    const listeners = [...new Set([event, also])].flatMap((name) => [...(this._listeners.get(name) ?? [])]);
    for (const listener of listeners) guarded(() => listener(value));
    return listeners.length > 0;
  }
}
