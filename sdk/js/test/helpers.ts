/** What several tests begin with: a channel that is subscribed to, a live query that is followed, a reconnect. */

import type { Channel, ChannelOptions } from "../src/client/channel.js";
import type { SnapshotOptions } from "../src/client/query.js";
import type { RealtimeOptions } from "../src/client/client_options.js";
import type { Snapshot } from "../src/core/snapshot.js";
import { Peer, flush, FakeServer } from "./fake_server.js";

/** A channel that is subscribed to, and the data of its messages. */
export async function subscribedChannel(
  options: ChannelOptions = {},
  more: RealtimeOptions = {},
  answer: object = {},
): Promise<{ server: FakeServer; channel: Channel; received: unknown[] }> {
  const server = new FakeServer(more);
  const channel = server.realtime.channel("room", options);
  const subscribed = channel.subscribe();
  server.peer.hello().subscribed("room", answer);
  await subscribed;
  await flush();
  const received: unknown[] = [];
  channel.on("n", ({ data }) => received.push(data));
  channel.on("gap", () => received.push("gap"));
  return { server, channel, received };
}

/** Lose the connection, and be connected again. */
export async function reconnect(server: FakeServer): Promise<Peer> {
  server.peer.end();
  await server.clock.pass(1000);
  return server.peer.hello();
}

/** The changes of a first snapshot. */
export const added = (...ids: string[]): object[] =>
  ids.map((id, newIndex) => ({ type: "added", oldIndex: -1, newIndex, doc: { id, data: { id } } }));

/** A live query: the ids of each snapshot, and the snapshots. */
export function followQuery(server: FakeServer, options?: SnapshotOptions): { shown: string[]; snapshots: Snapshot[] } {
  const snapshots: Snapshot[] = [];
  const shown: string[] = [];
  server.realtime
    .database()
    .collection("c")
    .onSnapshot(
      (snapshot) => {
        snapshots.push(snapshot);
        shown.push(snapshot.docs.map(({ id }) => id).join(""));
      },
      undefined,
      options,
    );
  return { shown, snapshots };
}

/** The server sends a snapshot of the last live query. */
export function sendSnapshot(peer: Peer, position: string, reset: boolean, changes: object[], more: object = {}): void {
  const { id } = peer.of("subscribe").at(-1)!;
  peer.send({ type: "snapshot", channel: "db:collection:c", id, position, reset, changes, ...more });
}

/** Accepts the last subscription of a page to the collection `c`, with these documents. */
export function accept({ server: { peer } }: { server: FakeServer }, position: string, ...ids: string[]): void {
  peer.subscribed("db:collection:c", { strategy: "incremental" });
  sendSnapshot(peer, position, true, added(...ids));
}

/** Refuses a subscription of a page to the collection `c`: the last one, unless it is named. */
export function refuse(
  { server: { peer } }: { server: FakeServer },
  id: unknown = peer.of("subscribe").at(-1)!.id,
): void {
  peer.send({ type: "error", code: "RT_004", message: "no", channel: "db:collection:c", id });
}

/** The limit of each query that a page has asked for. */
export const limits = ({ server: { peer } }: { server: FakeServer }): unknown[] =>
  peer.of("subscribe").map(({ query }) => query.limit);
