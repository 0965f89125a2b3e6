/**
 * Long polling: a request waits at the server until there are messages. Its `cursor` acknowledges the earlier ones, so a lost
 * answer is sent again, and no message is delivered twice.
 */

import type { ServerMessage } from "../protocol/wire.js";
import { authorization, insist, request, Session, within } from "./http.js";
import type { Address, Carrier, Events } from "./transport.js";

const TIMEOUT = 25_000; // ms that the server may hold a request
const LOST = 35_000; // ms after which a request is taken for lost

/** The answer to a poll; with `session` the first time. */
interface Answer {
  cursor: number;
  session?: string;
  messages: ServerMessage[];
}

/** @internal */
export function polling(address: Address, events: Events): Carrier {
  const session = new Session(address, events);
  const { _signal: signal } = session;
  let cursor: number | undefined;

  async function poll(): Promise<ServerMessage[]> {
    const body = session._secret ? { session: session._secret, cursor, timeout: TIMEOUT } : {};
    const either = new AbortController();
    const cancel = within(LOST, signal, () => either.abort());
    try {
      const headers = session._secret ? {} : await authorization(address);
      const init = { method: "POST", headers, body: JSON.stringify(body), signal: either.signal };
      const response = await request(address, `${address._url}/poll?${address._query}`, init);
      const answer = (await response.json()) as Answer;
      cursor = answer.cursor;
      if (answer.session) session._secret = answer.session;
      return answer.messages;
    } finally {
      // There are as many polls as there are messages: each one must remove its listener.
      cancel();
    }
  }

  function receive(messages: ServerMessage[]): void {
    events._received();
    for (const message of messages) if (!signal.aborted) session._message(message);
  }

  return session._carrier(async () => {
    receive(await poll());
    while (!signal.aborted) receive(await insist(poll, signal));
  });
}
