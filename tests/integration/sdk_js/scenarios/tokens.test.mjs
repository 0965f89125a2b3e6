// A server that accepts tokens alone: in with one, over each transport; out with the reason.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { client, closeAll, once } from "./support.mjs";

const { TOKEN, WRONG_TOKEN } = process.env;
afterEach(closeAll);

for (const transport of ["websocket", "sse", "polling"]) {
  test(`the token lets its user in (${transport})`, async () => {
    const realtime = client({ transports: [transport], getToken: async () => TOKEN });
    const own = realtime.channel("private:user-ada");
    await own.subscribe();
    await assert.rejects(realtime.channel("private:user-bob").subscribe(), { code: "RT_003" });
  });

  test(`a token that is refused is a typed error (${transport})`, async () => {
    const realtime = client({ transports: [transport], token: WRONG_TOKEN });
    const error = await once(realtime, "error");
    assert.equal(error.code, "RT_002");
    assert.match(error.message, /wrong audience/);
  });
}
