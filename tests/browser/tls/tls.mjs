// A page over wss and https: node tls.mjs URL KEY_HASH OTHER_URL. Chromium accepts the certificate of URL by the hash of its key, so another key is refused.

import assert from "node:assert/strict";

import { launch } from "../launch.mjs";

const [url, hash, other] = process.argv.slice(2);
const browser = await launch(`--ignore-certificate-errors-spki-list=${hash}`);
try {
  const page = await browser.newPage();
  const first = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace("https:", "wss:")}/realtime`, "bunbase");
        socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
        socket.onclose = ({ code }) => resolve(code);
      }),
    url,
  );
  assert.equal(first, "connected");
  const streamed = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const stream = new EventSource(`${url}/realtime/sse?channel=public:1`);
        stream.addEventListener("connected", () => (stream.close(), resolve("connected")));
        stream.onerror = () => resolve("error");
      }),
    url,
  );
  assert.equal(streamed, "connected");
  const refused = await page.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace("https:", "wss:")}/realtime`);
        socket.onopen = () => resolve("open");
        socket.onclose = ({ code }) => resolve(code);
      }),
    other,
  );
  assert.equal(refused, 1006);
} finally {
  await browser.close();
}
