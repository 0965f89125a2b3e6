// What compiles, and what does not. Checked by `npm run typecheck`; nothing here is run.

import { useChannel, usePages, usePresence, useQuery } from "@bunbase/vue";
import type { Database } from "@bunbase/sdk";
import { ref, type Ref } from "vue";

interface Todo {
  id: number;
  done: boolean;
}

interface Collections {
  todos: Todo;
  c: { room: string; at: string };
}

declare module "@bunbase/vue" {
  interface Register {
    collections: Collections;
  }
}

export function registered(): boolean | undefined {
  const { docs } = useQuery((db) => db.collection("todos").where("done", "==", true));
  // @ts-expect-error no such field
  useQuery((db) => db.collection("todos").where("finished", "==", true));
  // @ts-expect-error no such collection
  useQuery((db) => db.collection("todo"));
  useQuery((db) => db.collection<{ n: number }>("todos").where("n", "==", 1));
  useQuery((db: Database<Collections>) => db.collection("todos").sql<{ n: number }>("select count(*) as n from todos"));
  useQuery(() => null);
  const { docs: loaded, hasMore } = usePages((db) => db.collection("todos").orderBy("done"), ref(10));
  // @ts-expect-error SQL has no pages
  usePages((db) => db.collection("todos").sql<{ n: number }>("select 1 as n"), 10);
  usePages(() => null, 10);
  const { docs: some } = useQuery((db) => db.collection("c").select("room").orderBy("at"));
  const { docs: more } = usePages((db) => db.collection("c").select("room").orderBy("at"), 10);
  for (const doc of [...some.value, ...more.value]) doc.data().room.trim();
  // @ts-expect-error not selected
  for (const doc of [...some.value, ...more.value]) doc.data().at.trim();
  // @ts-expect-error no such field
  useQuery((db) => db.collection("c").select("rooms"));
  return hasMore.value ? loaded.value[0]?.data().done : docs.value[0]?.data().done;
}

export function channels(): string | undefined {
  const name: Ref<string> = ref("room");
  const { channel } = useChannel<{ wave: { hand: string } }>(name, { wave: ({ data }) => data.hand.length });
  // @ts-expect-error other data
  void channel.value.send("wave", { foot: "left" });
  // @ts-expect-error no such event
  useChannel<{ wave: null }>("room", { waves: () => {} });
  const { users } = usePresence<{ color: string }>(() => name.value, ref({ color: "red", status: "online" }));
  // @ts-expect-error no such field
  usePresence<{ color: string }>("room", { colour: "red" });
  useChannel("room", { anything: ({ data }) => data.goes.there, "*": ({ event }) => event, gap: () => {} });
  return users.value[0]?.state.color;
}
