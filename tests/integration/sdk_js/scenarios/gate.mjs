// A proxy in front of the server, as restrictive networks have them: it can block WebSockets, hold back event streams, or let nothing through.

import http from "node:http";
import net from "node:net";

/** What a request is carried by. */
const kindOf = ({ url, headers }) =>
  headers.upgrade
    ? "websocket"
    : url.includes("/realtime/sse")
      ? "sse"
      : url.includes("/realtime/poll")
        ? "polling"
        : "other";

export class NetworkGate {
  #blocked = new Set();
  #open = new Map();
  #server;
  /** What is answered here, by path. */
  files = {};
  /** What went through, by kind. */
  passed = { websocket: 0, sse: 0, polling: 0, other: 0 };

  /** Listen in front of `target`; `page` is answered for `/`. */
  static async open(target, page = "") {
    const gate = new NetworkGate();
    const { hostname: host, port } = new URL(target);
    gate.#server = http.createServer((request, response) => gate.#request(request, response, { host, port }, page));
    gate.#server.on("upgrade", (request, socket, head) => gate.#upgrade(request, socket, head, { host, port }));
    await new Promise((resolve) => gate.#server.listen(0, "127.0.0.1", resolve));
    gate.url = `http://127.0.0.1:${gate.#server.address().port}`;
    return gate;
  }

  close() {
    for (const socket of this.#open.keys()) socket.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Block these kinds, and end what is open of them; everything else is let through. */
  block(...kinds) {
    this.#blocked = new Set(kinds);
    for (const [socket, kind] of this.#open) if (this.#blocked.has(kind)) socket.destroy();
  }

  #keep(socket, kind) {
    if (!this.#open.has(socket)) socket.on("close", () => this.#open.delete(socket));
    this.#open.set(socket, kind);
  }

  #request(request, response, target, page) {
    const kind = kindOf(request);
    if (request.url === "/") return response.setHeader("Content-Type", "text/html").end(page);
    if (this.files[request.url])
      return response.setHeader("Content-Type", "text/javascript").end(this.files[request.url]);
    this.#keep(request.socket, kind);
    // A proxy that buffers: the request is taken, and nothing ever comes back.
    if (this.#blocked.has(kind)) return kind === "sse" ? undefined : request.socket.destroy();
    this.passed[kind]++;
    const onward = http.request(
      { ...target, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
        answer.on("error", () => response.destroy());
      },
    );
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  #upgrade(request, socket, head, target) {
    if (this.#blocked.has("websocket")) return socket.destroy();
    this.passed.websocket++;
    this.#keep(socket, "websocket");
    const onward = net.connect(target.port, target.host, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let index = 0; index < request.rawHeaders.length; index += 2)
        lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
      onward.write(`${lines.join("\r\n")}\r\n\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    for (const [one, other] of [
      [socket, onward],
      [onward, socket],
    ]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  }
}
