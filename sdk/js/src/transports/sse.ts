/** Server-sent events, read from `fetch` (so that it works in Node, too, and errors can be seen); sending is by `POST`. */

import { CloseCode } from "../protocol/codes.js";
import type { ServerMessage } from "../protocol/wire.js";
import { authorization, broken, Poster, request } from "./http.js";
import { type Address, type Carrier, type Events } from "./transport.js";

/** @internal */
export function sse(address: Address, events: Events): Carrier {
  const abort = new AbortController();
  const end = (error: unknown): void => {
    if (abort.signal.aborted) return;
    abort.abort();
    broken(events, error);
  };
  const poster = new Poster(address, abort.signal, end);
  const receive = (data: string): void => {
    const message = JSON.parse(data) as ServerMessage;
    if (message.type === "connected") poster._session = message.session ?? "";
    if (message.type !== "close") return events._message(message);
    abort.abort();
    events._closed(message.code, message.reason);
  };

  async function run(): Promise<void> {
    const headers = { Accept: "text/event-stream", ...(await authorization(address)) };
    const init = { headers, signal: abort.signal };
    const response = await request(address, `${address._url}/sse?${address._query}`, init);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser(receive, () => events._received());
    for (;;) {
      const { done, value } = await reader.read();
      if (abort.signal.aborted) return;
      if (done) break;
      parse(value);
    }
    abort.abort();
    events._closed(CloseCode.Abnormal, "the stream ended");
  }

  queueMicrotask(() => void run().catch(end));
  return poster._carrier(abort);
}

/** Feed it text; `receive` gets the data of each event, `comment` is called for comments. Unfinished lines wait. @internal */
export function parser(receive: (data: string) => void, comment: () => void): (chunk: string) => void {
  let rest = "";
  let data: string[] = [];
  return (chunk) => {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line.startsWith(":")) comment();
      else if (!line && data.length) {
        const whole = data.join("\n");
        data = [];
        receive(whole);
      }
    }
  };
}
