// Behaviour that both SDKs share, from vectors that both run (tests/unit/sdk_python/test_vectors.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { compare } from "../src/core/position.js";
import { PresenceState } from "../src/core/presence.js";
import { difference, Doc } from "../src/core/snapshot.js";
import type { User } from "../src/protocol/types.js";
import type { PresenceMessage } from "../src/protocol/wire.js";

// The tests run in the package's folder.
const vectors = <T>(name: string): T =>
  JSON.parse(readFileSync(`../../tests/support/vectors/${name}.json`, "utf8")) as T;

const userOf = (given: Partial<User>): User => ({ id: "", metadata: {}, state: {}, ...given });

test("positions are ordered as in the vectors", () => {
  const { ascending } = vectors<{ ascending: string[] }>("positions");
  ascending.slice(1).forEach((after, index) => {
    const before = ascending[index]!;
    assert.ok(compare(before, after) < 0 && compare(after, before) > 0, `${before} ${after}`);
    assert.equal(compare(before, before), 0);
  });
});

test("presence events are those of the vectors", () => {
  interface Step {
    receive: "join" | "update" | "leave";
    user: Partial<User>;
    replace?: Partial<User>[];
    events: string[];
  }
  const { steps, present } = vectors<{ steps: Step[]; present: string[] }>("presence");
  const state = new PresenceState();
  for (const { receive, user, replace, events } of steps) {
    const type: PresenceMessage["type"] = `presence:${receive}`;
    const seen = replace
      ? state._replace(replace.map(userOf))
      : state._receive({ type, channel: "c", user: userOf(user) });
    const told = seen.map(([event, { id }]) => `${event.slice(9)} ${id}`);
    assert.deepEqual(told, events);
  }
  const now = state._current().users.map(({ id }) => id);
  assert.deepEqual(now, present);
});

test("differences of lists are those of the vectors", () => {
  const { cases } = vectors<{ cases: { old: string; new: string; changes: unknown[] }[] }>("differences");
  const list = (ids: string): Doc[] => [...ids].map((id) => new Doc(id.toLowerCase(), { id }));
  for (const { old, new: now, changes } of cases) {
    const found = difference(list(old), list(now)).map((each) => [
      each.type,
      each.doc.id,
      each.oldIndex,
      each.newIndex,
    ]);
    assert.deepEqual(found, changes, `${old} ${now}`);
  }
});
