/** Messages over a WebSocket: text frames of JSON, or binary ones of MessagePack. */

import { CloseCode } from "../protocol/codes.js";
import type { ServerMessage } from "../protocol/wire.js";
import { type Address, type Carrier, type Events } from "./transport.js";

/** @internal */
export function websocket({ _url, _query, _packer, _WebSocket, _token }: Address, events: Events): Carrier {
  let open = true;
  let socket: WebSocket | undefined;
  const end = (code: number, reason: string): void => {
    if (!open) return;
    open = false;
    events._closed(code, reason);
  };
  let codec: Awaited<ReturnType<NonNullable<Address["_packer"]>>> | undefined;
  const dial = (token?: string): void => {
    if (!open) return;
    const url = `${_url.replace(/^http/, "ws")}?${_query}${_packer ? "&format=msgpack" : ""}`;
    socket = token === undefined ? new _WebSocket!(url) : new _WebSocket!(url, ["bunbase", subprotocol(token)]);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (!open) return;
      let message: ServerMessage;
      try {
        message = (typeof data === "string" ? JSON.parse(data) : codec?.unpack(data)) as ServerMessage;
      } catch {
        // Another protocol, for instance of a proxy. The connection is unusable.
        end(CloseCode.ProtocolError, "not a message");
        return socket!.close();
      }
      events._message(message);
    };
    socket.onclose = ({ code, reason }) => end(code, reason);
    socket.onerror = () => {
      // Always followed by close, which has the code.
    };
  };
  const failed = (error: unknown): void => end(CloseCode.Abnormal, String(error));
  const begin = async (): Promise<void> => {
    if (_packer) codec = await _packer();
    dial(_token && (await _token())); // without both at once
  };
  void begin().catch(failed);
  return {
    _send(text) {
      // A number of so many digits may not be a double; the server understands JSON, too.
      if (socket?.readyState === 1) socket.send(codec && !/\d{16}/.test(text) ? codec.pack(JSON.parse(text)) : text);
    },
    _close(leave) {
      open = false;
      if (!leave) socket?.close();
      else if (socket?.readyState) socket.close(CloseCode.Normal);
      // Browsers report an error in their console where a socket is closed while it connects.
      else if (socket) socket.onopen = () => socket!.close(CloseCode.Normal);
    },
  };
}

/** The subprotocol that carries a token: a browser cannot set a header, and addresses are logged. */
function subprotocol(token: string): string {
  const encoded = btoa(String.fromCharCode(...new TextEncoder().encode(token)));
  return `bunbase.token.${encoded.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")}`;
}
