/** Listeners by the name of an event. An exception in one does not affect the other ones. */

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
    let set = this._listeners.get(event);
    if (!set) this._listeners.set(event, (set = new Set()));
    set.add(listener);
    return () => this._remove(event, listener);
  }

  _remove(event: string, listener?: Listener): void {
    if (listener) this._listeners.get(event)?.delete(listener);
    else this._listeners.delete(event);
  }

  /** Returns whether there was a listener. */
  _deliver(event: string, value?: unknown): boolean {
    const listeners = [...(this._listeners.get(event) ?? [])];
    for (const listener of listeners) guarded(() => listener(value));
    return listeners.length > 0;
  }
}
