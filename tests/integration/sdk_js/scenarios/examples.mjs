// What each documented example does, asserted; the same in Node and in Chromium.

/** @param {typeof import("../../../../sdk/js/test/snippets.ts")} snippets @param {(text: string) => Promise<any[][]>} sql */
export async function runAll(snippets, { url, key, sql, eventually, equal }) {
  const { configure, logged, Realtime } = snippets;
  const texts = () => logged.map(([first]) => first);
  const fresh = () => logged.splice(0);
  // In a page, the server is where the page came from.
  configure(globalThis.document ? { apiKey: key } : { url, apiKey: key });

  const closed = await snippets.connectionManagement();
  equal([closed.state, fresh()], ["closed", [["Connected"], ["Disconnected"]]]);

  const ada = new Realtime({ user: "user-456" });
  await snippets.channelSubscription(ada, () => eventually(() => equal(texts(), ["New message:"])));
  const [[, message]] = fresh();
  equal(
    [message.channel, message.event, message.data, message.sender],
    ["chat:room-123", "new-message", { text: "Hello!", userId: "user-456" }, "user-456"],
  );

  const watched = await snippets.presence(ada);
  const [[, users], [, count]] = fresh().filter(([text]) => text.startsWith("Online") || text.startsWith("User count"));
  equal([users.map(({ id }) => id), count], [["user-456"], 1]);
  await eventually(async () => {
    const [{ name, metadata, state }] = (await watched.getPresence()).users;
    equal([name, metadata.avatar, state], ["John", "https://...", { status: "online" }]);
  });
  const bob = new Realtime({ user: "user-123" });
  const there = bob.channel("presence:room-123");
  await there.subscribe();
  await there.updatePresence({ status: "away" });
  await there.unsubscribe();
  const ofBob = () => logged.filter(([, user]) => user.id === "user-123").map(([text]) => text);
  await eventually(() => equal(ofBob(), ["User joined:", "User updated:", "User left:"]));
  await watched.unsubscribe();
  fresh();

  await sql("truncate messages restart identity");
  const insert = (body) => sql(`insert into messages (room_id, body) values ('room-123', '${body}')`);
  await insert("first");
  await snippets.liveQueries(async () => {
    await eventually(() => equal(logged, [["New message:", logged[0]?.[1]]]));
    await sql("update messages set body = 'edited'");
    await eventually(() => equal(logged[1]?.slice(0, 1), ["Modified message:"]));
    equal(logged[1][1].body, "edited");
    await sql("delete from messages");
    await eventually(() => equal(logged[2]?.slice(0, 1), ["Removed message:"]));
  });
  fresh();
  await snippets.liveQueriesOfAClient(ada);
  equal(fresh()[0][0], 0);

  const orders = ada.channel("admin:orders");
  const received = [];
  await orders.subscribe();
  orders.on("new-order", ({ data }) => received.push(data));
  await snippets.broadcasting();
  await eventually(() =>
    equal(
      received.map(({ orderId, amount, timestamp }) => [orderId, amount, !Number.isNaN(Date.parse(timestamp))]),
      [[7, 99.5, true]],
    ),
  );
  equal(await sql("select event, payload->>'status' from realtime.messages where channel = 'private:user-user-123'"), [
    ["order-update", "confirmed"],
  ]);

  const kicked = new Realtime({ user: "user-id" });
  const room = kicked.channel("chat:room-123", { presence: true });
  await room.subscribe();
  const errors = [];
  room.on("error", ({ code }) => errors.push(code));
  bob.on("error", ({ code }) => errors.push(code));
  await eventually(async () => equal((await snippets.server.getConnections({ userId: "user-123" })).length, 1));
  await eventually(async () => equal((await snippets.server.channel("chat:room-123").getPresence()).count, 1));
  await snippets.presenceManagement();
  equal(fresh(), [[["user-id"], ["user-123"]]]);
  await eventually(() => equal(errors.sort(), ["RT_001", "RT_003"]));
  await eventually(() => equal(bob.state, "failed"));
  for (const each of [ada, bob, kicked]) each.disconnect();
  configure({});
}
