/** Errors as the protocol tells them: a code, and words. */

/**
 * What went wrong. The codes are those of the protocol:
 *
 * | Code | Meaning |
 * | --- | --- |
 * | `RT_001` | connection failed |
 * | `RT_002` | authentication failed |
 * | `RT_003` | permission denied |
 * | `RT_004` | channel not found |
 * | `RT_005` | message too large |
 * | `RT_006` | rate limit exceeded |
 * | `RT_007` | invalid message format |
 * | `RT_008` | channel capacity exceeded |
 * | `RT_009` | presence update failed |
 */
export class RealtimeError extends Error {
  /** One of the codes above. */
  readonly code: string;
  /** The channel it is about, if it is about one. */
  readonly channel: string | undefined;
  /** The request it answers, if it answers one. */
  readonly ref: string | undefined;

  constructor(code: string, message: string, about: { channel?: string; ref?: string } = {}) {
    super(message);
    this.name = "RealtimeError";
    this.code = code;
    this.channel = about.channel;
    this.ref = about.ref;
  }
}
