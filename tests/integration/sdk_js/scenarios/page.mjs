// Runs in the browser: a user in a chat room, and what the examples need.

export { eventually } from "../../../support/eventually.mjs"; // served to the browser as "/support/eventually.mjs"

export function equal(actual, expected) {
  const [one, other] = [actual, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

export async function join(room, options) {
  const { Realtime } = await import("/snippets.mjs");
  const realtime = new Realtime({ ...options, reconnectDelay: 200 });
  const channel = realtime.channel(room);
  const chat = (globalThis.chat = {
    received: [],
    gaps: 0,
    acknowledged: 0,
    users: [],
    presence: [],
    state: "connecting",
    transport: undefined,
  });
  realtime.on("state", (state) => (chat.state = state));
  realtime.on("transport", () => (chat.transport = realtime.transport));
  channel.on("n", ({ data }) => chat.received.push(data));
  channel.on("gap", () => chat.gaps++);
  const present = async () => (chat.users = (await channel.getPresence()).users.map(({ id }) => id).sort());
  if (room.startsWith("presence")) channel.on("subscribed", present); // other channels have none
  for (const event of ["join", "leave", "update"])
    channel.on(`presence:${event}`, ({ id }) => {
      chat.presence.push(`${event} ${id}`);
      void present();
    });
  globalThis.send = (from, to) => {
    for (let n = from; n < to; n++) void channel.send("n", n).then(() => chat.acknowledged++);
  };
  await channel.subscribe();
}
