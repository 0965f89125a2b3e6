/** Server-sent events, read from `fetch` (so that it works in Node, too, and errors can be seen); sending is by `POST`. */

import type { ServerMessage } from "../protocol/wire.js";
import { authorization, request, Session } from "./http.js";
import type { Address, Carrier, Events } from "./transport.js";

/** @internal */
export function sse(address: Address, events: Events): Carrier {
  const session = new Session(address, events);
  const { _signal: signal } = session;
  const receive = (data: string): void => {
    const message = JSON.parse(data) as ServerMessage;
    if (message.type === "connected") session._secret = message.session ?? "";
    session._message(message);
  };

  return session._carrier(async () => {
    const headers = { Accept: "text/event-stream", ...(await authorization(address)) };
    const response = await request(address, `${address._url}/sse?${address._query}`, { headers, signal });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser(receive);
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) return;
      if (done) throw new Error("the stream ended");
      events._received(); // also a comment is a sign of life
      parse(value);
    }
  });
}

/** Feed it text; `receive` gets the data of each event, which the server writes in one line. An unfinished line waits. @internal */
export function parser(receive: (data: string) => void): (chunk: string) => void {
  let rest = "";
  return (chunk) => {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith("data:")) receive(line.slice(5));
  };
}
