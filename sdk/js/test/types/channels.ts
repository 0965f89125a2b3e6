// What compiles, and what does not, of channels whose messages and presence have types. Checked by `npm run typecheck`; nothing here is run.

import { ErrorCode, messages as iterated, Realtime, type Channel, type RealtimeError, type User } from "@bunbase/sdk";

interface Events {
  "new-message": { text: string };
  cursor: { x: number; y: number };
  cleared: null;
  done: undefined;
}

interface State {
  color: string;
  cursor: { x: number; y: number };
}

const realtime = new Realtime({ autoConnect: false });
const room = realtime.channel<Events, State>("chat:1", { presence: { color: "red", status: "online" } });

export async function loops(): Promise<void> {
  for await (const { data } of iterated(room, "new-message", { buffer: 10, overflow: "drop-oldest" })) {
    const text: string = data.text;
    // @ts-expect-error no such field
    data.txt = text;
  }
  for await (const message of iterated(room)) if (message.event === "cursor") message.data.x.toFixed();
  // @ts-expect-error no such event
  iterated(room, "message");
  for await (const { data } of iterated(realtime.channel("chat:2"))) data.anything.there();
}

export async function messages(): Promise<void> {
  await room.send("new-message", { text: "Hello!" }, { traceparent: "00-…" });
  await room.send("cleared");
  await room.send("cleared", null, { id: "own" });
  await room.send("done");
  // @ts-expect-error no such event
  await room.send("message", { text: "Hello!" });
  // @ts-expect-error other data
  await room.send("new-message", { txt: "Hello!" });
  // @ts-expect-error data is missing
  await room.send("cursor");

  room.on("cursor", ({ data, sender }) => [data.x, sender?.length]);
  // @ts-expect-error other data
  room.on("cursor", ({ data }) => data.text);
  // @ts-expect-error no such event
  room.on("pointer", () => {});
  room.on("*", (message) => {
    if (message.event === "cursor") return message.data.x;
    // @ts-expect-error of which event?
    return message.data.text;
  });
  const page = await room.history({ limit: 10 });
  const [first] = page.messages;
  if (first?.event === "cursor") void first.data.x;
  // @ts-expect-error of which event?
  void first?.data.text;
  await room.history({ before: page.before });
  room.on("gap", () => {});
  room.on("error", (error: RealtimeError) => error.code === ErrorCode.PermissionDenied);
  realtime.channel<Events>("chat:1", { filter: { events: ["cursor"] } });
  // @ts-expect-error no such event
  realtime.channel<Events>("chat:1", { filter: { events: ["pointer"] } });
}

export async function presence(): Promise<void> {
  await room.updatePresence({ cursor: { x: 1, y: 2 }, typing: true });
  // @ts-expect-error no such field
  await room.updatePresence({ colour: "red" });
  // @ts-expect-error another type
  await room.updatePresence({ color: 3 });
  // @ts-expect-error another type
  realtime.channel<Events, State>("chat:1", { presence: { color: 3 } });
  const { users } = await room.getPresence();
  const x: number | undefined = users[0]?.state.cursor?.x;
  room.on("presence:join", (user: User<Partial<State>>) => [user.state.color?.length, x]);
  // @ts-expect-error no such field
  room.on("presence:leave", (user) => user.state.colour);
}

export async function withoutTypes(event: string): Promise<void> {
  const open = realtime.channel("chat:1", { presence: { anything: { goes: 1 } }, filter: { events: [event] } });
  await open.send(event, Math.PI);
  await open.send("x");
  await open.updatePresence({ whatever: [1] });
  open.on(event, ({ data }) => data.anything.goes);
  open.on<{ text: string }>("new-message", ({ data }) => data.text);
  // @ts-expect-error other data
  open.on<{ text: string }>("new-message", ({ data }) => data.txt);
  open.on("*", ({ event: name, data }) => [name.length, data.anything]);
  open.on("presence:update", ({ state }) => state.anything.goes);
  const { users } = await open.getPresence();
  users[0]?.state.anything.goes();
  const typed: Channel<Events, State> = open;
  const again: Channel = room;
  void [typed, again];
}

/** Codes are a union: a switch over them can be complete. */
export function remedy(code: ErrorCode): string {
  switch (code) {
    case "RT_001":
    case "RT_002":
    case "RT_003":
    case "RT_004":
    case "RT_005": return "one of the first five"; // prettier-ignore
    case "RT_006":
    case "RT_007":
    case "RT_008":
    case "RT_009": return "one of the last four"; // prettier-ignore
    // @ts-expect-error no such code
    case "RT_010": return "none"; // prettier-ignore
  }
}

/** States, too: one that there is not cannot be asked for. */
export function states(error: RealtimeError): boolean[] {
  return [
    realtime.state === "open" && realtime.status.state === realtime.state,
    // @ts-expect-error no such state
    realtime.state === "connected",
    // @ts-expect-error no such state
    realtime.status.state === "reconnecting",
    error.code === "RT_003",
    // @ts-expect-error no such code
    error.code === "RT_042",
  ];
}
