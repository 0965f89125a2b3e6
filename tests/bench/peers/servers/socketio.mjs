// Socket.IO as its documentation sets it up; WebSockets alone.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], maxHttpBufferSize: 1e6 });
io.on("connection", (socket) => {
  socket.on("subscribe", (channel, done) => {
    socket.join(channel);
    done();
  });
  socket.on("publish", (channel, data) => {
    io.to(channel).emit("message", data);
  });
});
http.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
