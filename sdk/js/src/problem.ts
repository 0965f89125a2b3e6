/** What a problem document (RFC 9457) of the server says. @internal */
export interface Problem {
  code?: string;
  detail?: string;
}

/** The problem document in an answer; empty if something else than the server has answered. @internal */
export function problemOf(text: string): Problem {
  try {
    return (JSON.parse(text) ?? {}) as Problem;
  } catch {
    // A proxy's error page, for instance: no JSON, so not our server's.
    return {};
  }
}
