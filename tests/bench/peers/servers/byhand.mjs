// A consumer of the WAL written by hand: who subscribes is sent the rows of its kind, and then every row that is inserted.
import pg from "pg";
import { LogicalReplicationService, PgoutputPlugin } from "pg-logical-replication";
import { WebSocketServer } from "ws";

const { PORT, DSN } = process.env;
const QUERY = {
  name: "rows",
  text: "select id, kind, body from realtime_bench where kind = $1 order by id desc limit 50",
};
const pool = new pg.Pool({ connectionString: DSN, max: 8 });
const subscribers = new Map();

await pool.query("create publication byhand for table realtime_bench");
await pool.query("select pg_create_logical_replication_slot('byhand', 'pgoutput')");
const service = new LogicalReplicationService(
  { connectionString: DSN },
  { acknowledge: { auto: true, timeoutSeconds: 10 } },
);
service.on("data", (lsn, change) => {
  if (change.tag !== "insert" && change.tag !== "update") return;
  const text = JSON.stringify({ type: "changed", row: change.new });
  for (const socket of subscribers.get(change.new.kind) ?? []) socket.send(text);
});
service.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: ["byhand"] }), "byhand");
await new Promise((resolve) => service.once("start", resolve));

const server = new WebSocketServer({ port: Number(PORT), host: "127.0.0.1", backlog: 4096, perMessageDeflate: false });
server.on("connection", (socket) => {
  let kind;
  socket.on("message", async (raw) => {
    kind = JSON.parse(raw).kind;
    if (!subscribers.has(kind)) subscribers.set(kind, new Set());
    subscribers.get(kind).add(socket);
    const { rows } = await pool.query({ ...QUERY, values: [kind] });
    socket.send(JSON.stringify({ type: "subscribed", rows }));
  });
  socket.on("close", () => subscribers.get(kind)?.delete(socket));
  socket.on("error", () => {});
});
