// What compiles, and what does not, of queries whose documents have a type. Checked by `npm run typecheck`; nothing here is run.

import { count, db, get, liveCount, pages, Realtime, snapshots } from "@bunbase/sdk";
import type { Collection, Condition, Database, Doc, Operator, Pages, Query, Selected } from "@bunbase/sdk";

interface Todo {
  id: number;
  title: string;
  done: boolean;
  priority: "low" | "normal" | "high";
  rating: number | null;
  tags: string[];
  scores: number[] | null;
  details: unknown;
  address: { city: string } | null;
  dueAt?: string;
}

const todos = db.collection<Todo>("todos");

export function fields(): void {
  todos.where("done", "==", true).where("title", "like", "%tea%").orderBy("dueAt", "desc", "nulls-last").limit(5);
  // @ts-expect-error no such field
  todos.where("finished", "==", true);
  // @ts-expect-error no such field
  todos.orderBy("created");
  // @ts-expect-error no such direction
  todos.orderBy("dueAt", "down");
  // @ts-expect-error a number
  todos.limit("5");
  // the type stays over all methods, and is that of the snapshots
  // @ts-expect-error no such field
  todos.limit(5).startAfter(1).where("finished", "==", true);
  todos.onSnapshot(({ docs }) => docs.map((doc: Doc<Todo>) => doc.data().priority));
}

export function values(): void {
  todos.where("done", "!=", false).where("priority", "==", "high").where("rating", ">=", 3);
  // @ts-expect-error text, and the field is boolean
  todos.where("done", "==", "yes");
  // @ts-expect-error not a label of the enum
  todos.where("priority", "==", "urgent");
  // @ts-expect-error a comparison with null is never true
  todos.where("rating", "==", null);
  // @ts-expect-error a value is missing
  todos.where("rating", "==");
  // Integers beyond 2^53 and numerics of many digits
  todos.where("id", "==", 9007199254740993n).where("rating", "<", "0.12345678901234567890123");
  todos.where("rating", "!=", "NaN");
  // @ts-expect-error no number
  todos.where("rating", "<", "ten");
  todos.where("dueAt", "<", "2026-01-25T09:00:00Z");
  // @ts-expect-error a moment is text, as in the documents
  todos.where("dueAt", "<", new Date());
}

export function operators(): void {
  todos.where("priority", "in", ["low", "high"]).where("id", "not-in", [1, 2n, "3"]);
  // @ts-expect-error a list
  todos.where("priority", "in", "low");
  // @ts-expect-error not a label of the enum
  todos.where("priority", "in", ["low", "urgent"]);
  todos.where("rating", "is-null").where("dueAt", "is-not-null");
  // @ts-expect-error takes no value
  todos.where("rating", "is-null", true);
  // @ts-expect-error no such operator
  todos.where("rating", "=", 3);
  // @ts-expect-error not text
  todos.where("rating", "like", "3%");
  // @ts-expect-error a pattern
  todos.where("title", "ilike", 3);
}

export function arraysAndObjects(): void {
  todos.where("tags", "array-contains", "tea").where("tags", "array-contains-any", ["tea", "milk"]);
  todos.where("scores", "array-contains", 3).where("tags", "==", ["tea"]);
  // @ts-expect-error elements are text
  todos.where("tags", "array-contains", 3);
  // @ts-expect-error a list
  todos.where("tags", "array-contains-any", "tea");
  // @ts-expect-error no array
  todos.where("title", "array-contains", "tea");
  // @ts-expect-error not text
  todos.where("tags", "like", "tea%");
  // JSON of any shape, and composites, which are compared as text
  todos.where("details", "array-contains", { by: "ada" }).where("details", "==", 3).where("address", "==", "(Delft)");
  // @ts-expect-error no such operator
  todos.where("details", "=", 3);
}

export function groups(): void {
  const either: Condition<Todo> = { or: [["rating", ">", 3], { not: ["tags", "array-contains", "spam"] }] };
  todos.where(either).where({ and: [["done", "==", true], ["dueAt", "is-null"]] }); // prettier-ignore
  // @ts-expect-error no such field
  todos.where({ not: ["finished", "==", true] });
  // @ts-expect-error text, and the field is boolean
  todos.where({ or: [["done", "==", "yes"]] });
  // @ts-expect-error takes no value
  todos.where({ not: ["rating", "is-null", 1] });
}

export function withoutTypes(operator: Operator, name: string, condition: Condition): void {
  const anything = db.collection("todos");
  anything.where("finished", operator, "yes").where(name, "==").where(condition).orderBy(name).where("x", "like", 3);
  anything.where({ or: [[name, operator], ["x", "in", 1]] }).onSnapshot(({ docs }) => docs[0]!.data().whatever.there); // prettier-ignore
  // @ts-expect-error no such operator
  anything.where("x", "=", 3);
  db.collection<unknown>("todos").where("x", "<", 3).orderBy("y");
  db.collection<Record<string, string>>("todos").where("x", "==", "y").orderBy("z");
  const open: Collection = todos;
  open.where("x", "==", 1);
}

export async function documents(): Promise<void> {
  todos.doc("7").onSnapshot(({ doc }) => doc?.data().title);
  const { doc } = await todos.doc(7, "b", 9n, true).get();
  const found: Doc<Todo> | undefined = doc;
  if (found) todos.orderBy("rating").startAfter(found).endBefore(found).startAt(3, "x").endAt(found);
  // @ts-expect-error a key has a value
  todos.doc();
  // @ts-expect-error no value of a key
  todos.doc(undefined);
  // @ts-expect-error no such field
  todos.doc("7").onSnapshot((snapshot) => snapshot.doc?.data().finished);
  const number: number = await todos.where("done", "==", true).count();
  todos.liveCount().onSnapshot((snapshot) => snapshot.doc!.data().count + number);
  // @ts-expect-error no such field
  await todos.where("finished", "==", true).count();
  // @ts-expect-error SQL counts by itself
  await todos.sql("select 1").count();
  for await (const snapshot of snapshots(todos.limit(3), { meta: true })) {
    const title: string = snapshot.docs[0]!.data().title;
    // @ts-expect-error no such field
    snapshot.docs[0]!.data().finished = title;
  }
}

interface Collections {
  todos: Todo;
  users: { id: string; name: string };
}

export function collections(): void {
  const realtime = new Realtime<Collections>({ autoConnect: false });
  realtime.database().collection("users").where("name", "ilike", "a%");
  // @ts-expect-error no such field
  realtime.database().collection("users").where("title", "ilike", "a%");
  // @ts-expect-error no such collection
  realtime.database().collection("user");
  const typed: Database<Collections> = db;
  typed.collection("todos").onSnapshot(({ docs }) => docs.map((doc: Doc<Todo>) => doc));
  // Another type for one of them
  typed.collection<{ n: number }>("todos").where("n", "==", 1);
  typed
    .collection("todos")
    .sql<{ n: number }>("select count(*) as n from todos")
    .onSnapshot(({ docs }) => docs[0]?.data().n);
  const plain: Realtime = realtime;
  plain.database().collection("whatever");
}

export async function selected(): Promise<void> {
  const query = todos.select("title", "done");
  query.onSnapshot(({ docs, changes }) => {
    const title: string = docs[0]!.data().title;
    const done: boolean = changes[0]!.doc.data().done;
    // the key is always there
    const id: number = docs[0]!.data().id;
    // @ts-expect-error not selected
    docs[0]!.data().priority = [title, done, id];
  });
  // @ts-expect-error no such field
  todos.select("titles");
  // @ts-expect-error no such field
  todos.select("title", "finished");
  // @ts-expect-error a field
  todos.select();
  // @ts-expect-error a name
  todos.select(["title"]);
  // Conditions and order are about the whole document.
  const urgent = query
    .where("priority", "==", "high")
    .where({ or: [["rating", ">", 3]] })
    .orderBy("dueAt")
    .limit(3);
  // @ts-expect-error no such field
  query.where("finished", "==", true);
  // @ts-expect-error text, and the field is boolean
  query.where("done", "==", "yes");
  const { docs } = await urgent.get();
  const one: Doc<{ id: number; title: string; done: boolean }> = docs[0]!;
  const number: number = await urgent.startAfter(one).endBefore(one, 1).startAt(3).count();
  // @ts-expect-error not selected
  docs[0]!.data().rating = number;
  const followed: Pages<Selected<Todo, "title" | "done">> = urgent.pages(
    20,
    (snapshot) => snapshot.docs[0]!.data().done,
  );
  // @ts-expect-error not selected
  followed.docs[0]!.data().rating = number;
  const other: Query<Todo, Pick<Todo, "id" | "tags">> = query.select("tags");
  // @ts-expect-error not selected any more
  (await other.get()).doc!.data().title = "tea";
  for await (const snapshot of snapshots(query)) snapshot.docs[0]!.data().title.trim();
  // A collection without `id`, and one without types
  (await db.collection<{ code: string; n: number }>("codes").select("n").get()).doc!.data().n.toFixed();
  const anything = db.collection("todos").select("whatever", "there");
  anything.where("x", "==", 3).onSnapshot((snapshot) => snapshot.docs[0]!.data().goes);
  const open: Query = query;
  open.select("anything");
}

export async function functions(): Promise<void> {
  const query = todos.where("done", "==", true);
  const [{ docs }, number] = await Promise.all([get(query), count(query.select("title"))]);
  const titles: string[] = docs.map((doc) => doc.data().title);
  liveCount(query).onSnapshot((snapshot) => snapshot.doc!.data().count + number);
  pages(query.select("title"), 20, (snapshot) => titles.push(snapshot.docs[0]!.data().title)).loadMore();
}
