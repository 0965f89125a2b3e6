// One client made with the TypeScript SDK, controlled by JSON lines; see actors.py.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const WebSocket = createRequire(new URL("../../sdk/js/package.json", import.meta.url))("ws");

const { url, user, transports, format, sdk } = JSON.parse(process.argv[2]);
const { Realtime } = await import(sdk);
const report = (fact) => process.stdout.write(JSON.stringify(fact) + "\n");

const realtime = new Realtime({
  url: `${url}/realtime?user=${user}`,
  transports,
  format,
  WebSocket,
  reconnectDelay: 50,
  maxReconnectDelay: 500,
  maxReconnectAttempts: Infinity,
  connectTimeout: 2000,
  heartbeatInterval: 500,
  heartbeatTimeout: 1000,
  upgradeInterval: 500,
});
realtime.on("connected", () => report({ connected: true }));

const channel = realtime.channel("chaos:1", { presence: { name: user } });
channel.on("sent", ({ data, position }) => report({ message: [data.from, data.n, position] }));
channel.on("gap", () => report({ gap: true }));
const present = async () => report({ users: (await channel.getPresence()).users.map((each) => each.id) });
for (const event of ["presence:join", "presence:leave", "presence:update"]) channel.on(event, present);

realtime
  .database()
  .collection("messages")
  .orderBy("likes", "desc")
  .limit(10)
  .onSnapshot((snapshot) => report({ docs: snapshot.docs.map((doc) => doc.data()) }));

await channel.subscribe();
await present();
report({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if (order.do === "send") {
    channel.send("sent", { from: user, n: order.n }).then(
      () => report({ acked: order.n }),
      (error) => report({ refused: order.n, code: String(error) }),
    );
  } else if (order.do === "stop") {
    await realtime.disconnect();
    break;
  }
}
process.stdin.destroy();
