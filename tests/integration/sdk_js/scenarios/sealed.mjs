// One half of a conversation between the two SDKs: answers what it can read, in a channel that is encrypted.

import { Encryption } from "../../../../sdk/js/dist/crypto.js";
import { client } from "./support.mjs";

const realtime = client({ transports: ["websocket"] });
const keys = JSON.parse(process.env.KEYS);
const channel = realtime.channel("chat:sealed", { encryption: new Encryption({ keyId: "k2", keys }) });
channel.on("question", async ({ data }) => {
  await channel.send("answer", { received: data });
  realtime.disconnect();
});
await channel.subscribe();
console.log("ready");
