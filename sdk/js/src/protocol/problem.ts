import type { ErrorCode } from "./codes.js";

/** The fields of a problem document (RFC 9457) of the server. @internal */
export interface Problem {
  code?: ErrorCode;
  detail?: string;
  retryAfter?: number;
}

/**
 * The problem document in an answer. If that is not the server's, what `Retry-After` has: seconds. Dates are ignored. @internal
 */
export function problemOf(text: string, { headers }: Response): Problem {
  try {
    return (JSON.parse(text) ?? {}) as Problem;
  } catch {
    // A proxy's error page, for instance: no JSON, so not our server's.
    return { retryAfter: +headers.get("Retry-After")! || undefined };
  }
}
