// What one writes by hand: node, the `ws` package, a map from channel to sockets.
import { WebSocketServer } from "ws";

const channels = new Map();
const server = new WebSocketServer({
  port: Number(process.env.PORT),
  host: "127.0.0.1",
  backlog: 4096,
  perMessageDeflate: false,
});

server.on("connection", (socket) => {
  const joined = [];
  socket.on("message", (raw) => {
    const { type, channel, data } = JSON.parse(raw);
    if (type === "subscribe") {
      if (!channels.has(channel)) channels.set(channel, new Set());
      channels.get(channel).add(socket);
      joined.push(channel);
      socket.send('{"type":"subscribed"}');
    } else {
      const text = JSON.stringify({ type: "message", channel, data });
      for (const other of channels.get(channel) ?? []) other.send(text);
    }
  });
  socket.on("close", () => {
    for (const channel of joined) {
      const sockets = channels.get(channel);
      sockets.delete(socket);
      if (!sockets.size) channels.delete(channel);
    }
  });
  socket.on("error", () => {});
});
