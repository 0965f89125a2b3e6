/** Errors of the protocol: a code and a message. */

import type { ErrorCode } from "./codes.js";

/** A description of the error. */
export class RealtimeError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** The channel it is about, if it is about one. */
  readonly channel: string | undefined;
  /** The request it answers, if it answers one. */
  readonly ref: string | undefined;
  /** Seconds after which the request may be repeated, with `RT_006`, where waiting helps. */
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, about: { channel?: string; ref?: string; retryAfter?: number } = {}) {
    super(message);
    this.name = "RealtimeError";
    this.code = code;
    this.channel = about.channel;
    this.ref = about.ref;
    this.retryAfter = about.retryAfter;
  }
}
