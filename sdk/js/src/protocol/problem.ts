/** The fields of a problem document (RFC 9457) of the server. @internal */
export interface Problem {
  code?: string;
  detail?: string;
  retryAfter?: number;
}

/** The problem document in an answer; empty if the answer is not the server's. @internal */
export function problemOf(text: string): Problem {
  try {
    return (JSON.parse(text) ?? {}) as Problem;
  } catch {
    // A proxy's error page, for instance: no JSON, so not our server's.
    return {};
  }
}
