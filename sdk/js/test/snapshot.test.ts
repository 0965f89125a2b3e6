// Lists of documents: the changes between any two lists lead from one to the other.

import assert from "node:assert/strict";
import { test } from "node:test";

import { apply, difference, Doc, type Change } from "../src/core/snapshot.js";
import { randomOf } from "./random.js";

const list = (ids: string): Doc[] => [...ids].map((id) => new Doc(id.toLowerCase(), { id }));
const applied = (docs: readonly Doc[], changes: readonly Change[]): Doc[] =>
  apply(
    docs,
    changes.map(({ doc, ...rest }) => ({ ...rest, doc: { id: doc.id, data: doc.data() as unknown } })),
  )[0];
const names = (docs: readonly Doc[]): string => docs.map((doc) => doc.data().id).join("");

test("the difference of any two lists, applied, gives the second; one change per document", () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const random = randomOf(seed);
    const some = (): Doc[] => {
      const ids = [..."abcdefghij"].slice(0, random(11));
      for (let place = ids.length - 1; place > 0; place--) {
        const other = random(place + 1);
        [ids[place], ids[other]] = [ids[other]!, ids[place]!];
      }
      return list(
        ids
          .slice(0, random(11))
          .map((id) => (random(4) ? id : id.toUpperCase()))
          .join(""),
      );
    };
    const [old, now] = [some(), some()];
    const changes = difference(old, now);
    assert.equal(names(applied(old, changes)), names(now), `seed ${seed}`);
    assert.equal(new Set(changes.map(({ doc }) => doc.id)).size, changes.length);
    for (const { type, oldIndex, newIndex } of changes)
      assert.equal(type, oldIndex < 0 ? "added" : newIndex < 0 ? "removed" : "modified");
  }
});

test("equal lists have no difference, and one move is one change", () => {
  assert.deepEqual(difference(list("abc"), list("abc")), []);
  const [change, ...more] = difference(list("abcdef"), list("bcdefa"));
  assert.deepEqual(
    [change!.type, change!.doc.id, change!.oldIndex, change!.newIndex, more],
    ["modified", "a", 0, 5, []],
  );
  assert.equal(difference(list("abcdef"), list("fabcde")).length, 1);
  assert.deepEqual(
    difference(list("abc"), list("aBc")).map(({ type, oldIndex, newIndex }) => [type, oldIndex, newIndex]),
    [["modified", 1, 1]],
  );
});

test("ten thousand documents turned round are no trouble", () => {
  const docs = Array.from({ length: 10_000 }, (_, index) => new Doc(String(index), index));
  const now = docs.slice().reverse();
  assert.deepEqual(applied(docs, difference(docs, now)), now);
});
