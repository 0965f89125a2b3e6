// Where a block gets what it shows.

/**
 * `load` gives it, whenever it is asked. `changed` is set by who shows it, and called when there is something else to show.
 * @template T
 */
export class Source {
  /** @type {() => void} */ changed = () => {};

  /** @param {(signal: AbortSignal) => Promise<T>} load */
  constructor(load) {
    this.load = load;
  }

  /**
   * What `made` makes of it.
   * @template U
   * @param {(value: T) => U} made
   * @returns {Source<U>}
   */
  as(made) {
    const source = new Source(async (/** @type {AbortSignal} */ signal) => made(await this.load(signal)));
    this.changed = () => source.changed();
    return source;
  }

  /**
   * What is in both.
   * @template U
   * @param {Source<U>} other
   * @returns {Source<[T, U]>}
   */
  with(other) {
    const source = new Source((/** @type {AbortSignal} */ signal) =>
      Promise.all([this.load(signal), other.load(signal)]),
    );
    this.changed = other.changed = () => source.changed();
    return source;
  }
}
