/** An async iterator over what is kept elsewhere until it is asked for. */

/** Ends with `break`, or an error of its source, which is thrown once. @internal */
export class Stream<V> implements AsyncIterableIterator<V> {
  private _over = false;
  private _error: unknown;
  private _changed: (() => void)[] = [];

  constructor(
    /** The next value; undefined: there is none now. */
    private _take: () => V | undefined,
    /** Called once, when it has ended. */
    private _close: () => void,
  ) {}

  /** There may be a value. */
  _wake(): void {
    for (const wake of this._changed.splice(0)) wake();
  }

  /** No value is to come, but those that are there. */
  _end(error?: unknown): void {
    if (this._over) return;
    this._over = true;
    this._error = error;
    this._close();
    this._wake();
  }

  async next(): Promise<IteratorResult<V>> {
    for (;;) {
      const value = this._take();
      if (value !== undefined) return { value, done: false };
      if (this._over) break;
      await new Promise<void>((resolve) => this._changed.push(resolve));
    }
    const error = this._error;
    this._error = undefined;
    if (error) throw error; // eslint-disable-line @typescript-eslint/only-throw-error -- as its source gave it
    return { value: undefined, done: true };
  }

  return(): Promise<IteratorResult<V>> {
    this._take = () => undefined;
    this._end();
    this._error = undefined;
    return this.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
