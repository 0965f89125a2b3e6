// What compiles, and what does not. Checked by `npm run typecheck`; nothing here is run.

import { Realtime, type Database } from "@bunbase/sdk";
import { bunbaseCollectionOptions } from "@bunbase/tanstack-db";
import { createCollection, createLiveQueryCollection, eq } from "@tanstack/db";

interface Todo {
  id: number;
  title: string;
  done: boolean;
}

const client = new Realtime<{ todos: Todo; lists: { id: string; name: string } }>();

export const todos = createCollection(
  bunbaseCollectionOptions({
    client,
    query: (db) => db.collection("todos").where("done", "==", false),
    getKey: (todo) => todo.id,
    onInsert: ({ transaction }) => {
      const title: string = transaction.mutations[0].modified.title;
      return Promise.resolve(title);
    },
    onUpdate: ({ transaction }) => Promise.resolve(transaction.mutations.map(({ changes }) => `${changes.done}`)),
    onDelete: async ({ collection }) => collection.utils.whenSeen("xid:1"),
  }),
);

export function rows(): string[] {
  todos.insert({ id: 1, title: "a", done: false });
  // @ts-expect-error no such field
  todos.insert({ id: 1, title: "a", finished: false });
  // @ts-expect-error another type of key
  todos.delete("1");
  const open = createLiveQueryCollection((from) =>
    from.from({ todo: todos }).where(({ todo }) => eq(todo.done, false)),
  );
  return [...todos.toArray, ...open.toArray].map(({ title }) => title);
}

export const titles = createCollection(
  bunbaseCollectionOptions({
    client,
    query: (db) => db.collection("todos").select("title").where("done", "==", false),
    getKey: (todo) => todo.id,
  }),
);

export function selected(): string[] {
  // @ts-expect-error not selected
  titles.toArray.map(({ done }) => done);
  return titles.toArray.map(({ title }) => title);
}

export function refused(): void {
  bunbaseCollectionOptions({
    client,
    // @ts-expect-error no such collection
    query: (db) => db.collection("todo"),
    getKey: () => 1,
  });
  bunbaseCollectionOptions({
    client,
    query: (db: Database) => db.collection<Todo>("todos"),
    getKey: ({ id }) => id,
    // @ts-expect-error a position is a text
    onInsert: () => Promise.resolve(7),
  });
}
