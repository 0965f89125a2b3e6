/** What several tests begin with: a channel that is subscribed to, a live query that is followed, a reconnect. */

import type { Channel, ChannelOptions } from "../src/client/channel.js";
import type { RealtimeOptions } from "../src/client/realtime.js";
import type { Snapshot } from "../src/core/snapshot.js";
import { Peer, settle, Stage } from "./fake.js";

/** A channel that is subscribed to, and the data of its messages. */
export async function joined(
  options: ChannelOptions = {},
  more: RealtimeOptions = {},
  answer: object = {},
): Promise<{ stage: Stage; channel: Channel; heard: unknown[] }> {
  const stage = new Stage(more);
  const channel = stage.realtime.channel("room", options);
  const subscribed = channel.subscribe();
  stage.peer.hello().subscribed("room", answer);
  await subscribed;
  await settle();
  const heard: unknown[] = [];
  channel.on("n", ({ data }) => heard.push(data));
  channel.on("gap", () => heard.push("gap"));
  return { stage, channel, heard };
}

/** Lose the connection, and be connected again. */
export async function again(stage: Stage): Promise<Peer> {
  stage.peer.end();
  await stage.clock.pass(1000);
  return stage.peer.hello();
}

/** The changes of a first snapshot. */
export const added = (...ids: string[]): object[] =>
  ids.map((id, newIndex) => ({ type: "added", oldIndex: -1, newIndex, doc: { id, data: { id } } }));

/** A live query: the ids of each snapshot, and the snapshots. */
export function following(stage: Stage): { shown: string[]; snapshots: Snapshot[] } {
  const snapshots: Snapshot[] = [];
  const shown: string[] = [];
  stage.realtime
    .database()
    .collection("c")
    .onSnapshot((snapshot) => {
      snapshots.push(snapshot);
      shown.push(snapshot.docs.map(({ id }) => id).join(""));
    });
  return { shown, snapshots };
}

/** The server sends a snapshot of the last live query. */
export function snapshot(peer: Peer, position: string, reset: boolean, changes: object[]): void {
  const { id } = peer.of("subscribe").at(-1)!;
  peer.say({ type: "snapshot", channel: "db:collection:c", id, position, reset, changes });
}
