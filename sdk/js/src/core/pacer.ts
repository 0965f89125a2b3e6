/**
 * Stays below the server's rate limit, so that no message is rejected and the order of messages is kept.
 *
 * The server has a bucket of *L* tokens that gains *L* per second. Messages sent evenly can arrive at once, when a network delays
 * up. So two bounds together: at most half of *L* messages are unanswered, and sends pass a bucket of half of *L* that gains 0.9 *L* per
 * second. In any *t* seconds at most half of *L* (under way before) + half of *L* + 0.9 *L t* can then arrive: never more than the server takes.
 */

/** @internal */
export class Pacer {
  private _capacity: number;
  private _tokens: number;
  private _unanswered = 0;
  private _blockedUntil = 0;

  /** `rate`: messages per second that the server takes; `_at`: now, in milliseconds. */
  constructor(
    private _rate: number,
    private _at: number,
  ) {
    this._capacity = this._tokens = Math.max(1, Math.floor(_rate / 2) - 1); // one less: heartbeats bypass the pacer
  }

  /** Milliseconds until the next message may be sent; `Infinity` while an answer must arrive first. */
  _wait(now: number): number {
    this._tokens = Math.min(this._capacity, this._tokens + ((now - this._at) / 1000) * 0.9 * this._rate);
    this._at = now;
    if (now < this._blockedUntil) return this._blockedUntil - now;
    if (this._unanswered >= this._capacity) return Infinity;
    return this._tokens >= 1 ? 0 : Math.ceil(((1 - this._tokens) / (0.9 * this._rate)) * 1000);
  }

  /** A message went out. */
  _sent(): void {
    this._tokens--;
    this._unanswered++;
  }

  /** An answer arrived. */
  _answered(): void {
    this._unanswered = Math.max(0, this._unanswered - 1);
  }

  /** The server rejected a message because of its limit nevertheless: pause until `until`. */
  _block(until: number): void {
    this._blockedUntil = Math.max(this._blockedUntil, until);
  }
}
