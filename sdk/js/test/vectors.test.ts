// Behaviour that both SDKs share, from vectors that both run (tests/unit/sdk_python/test_vectors.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { cursor } from "../src/core/cursor.js";
import { fullJitter } from "../src/core/backoff.js";
import { Pacer } from "../src/core/pacer.js";
import { compare } from "../src/core/position.js";
import { PresenceState } from "../src/core/presence.js";
import { SendQueue } from "../src/core/send_queue.js";
import { apply, difference, Doc } from "../src/core/snapshot.js";
import { messages } from "../src/client/iterators.js";
import { RealtimeError } from "../src/protocol/errors.js";
import type { User } from "../src/protocol/types.js";
import type { PresenceMessage, WireChange } from "../src/protocol/wire.js";
import { FakeServer, flush } from "./fake_server.js";
import { reconnect } from "./helpers.js";

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
      : state._apply({ type, channel: "c", user: userOf(user) });
    const reported = seen.map(([event, { id }]) => `${event.slice(9)} ${id}`);
    assert.deepEqual(reported, events);
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

test("cursors are those of the vectors", () => {
  interface Case {
    orderBy: unknown[];
    values?: unknown[];
    doc?: { id: string; data: object };
    cursor?: unknown;
    missing?: string;
  }
  for (const { orderBy, values, doc, missing, ...expected } of vectors<{ cases: Case[] }>("cursors").cases) {
    const made = (): object => cursor(doc ? [new Doc(doc.id, doc.data)] : values!, orderBy);
    if (missing === undefined) assert.deepEqual(made(), expected.cursor);
    else
      assert.throws(made, (error) => {
        assert.ok(error instanceof RealtimeError && error.message.includes(` ${missing} `));
        return error.code === "RT_007";
      });
  }
});

test("deltas give the lists and documents of the vectors", () => {
  type Rows = [id: string, data: object][];
  interface Case {
    name: string;
    changes: WireChange[];
    given: [type: string, data: object][];
    after: Rows | null;
  }
  const { list, cases } = vectors<{ list: Rows; cases: Case[] }>("deltas");
  for (const { name, changes, given, after } of cases) {
    const docs = list.map(([id, data]) => new Doc(id, data));
    if (!after) {
      assert.throws(() => apply(docs, changes), /no document 3/, name);
      continue;
    }
    const [now, found] = apply(docs, changes);
    assert.deepEqual(
      found.map(({ type, doc }) => [type, doc.data()]),
      given,
      name,
    );
    assert.deepEqual(
      now.map((doc) => [doc.id, doc.data()]),
      after,
      name,
    );
  }
});

test("waits before new attempts are those of the vectors", () => {
  const { cases } = vectors<{ cases: Record<"attempt" | "base" | "cap" | "share" | "wait", number>[] }>("backoff");
  for (const { attempt, base, cap, share, wait } of cases)
    assert.equal(
      fullJitter(attempt, base, cap, () => share),
      wait,
    );
});

test("waits between messages are those of the vectors", () => {
  interface Step {
    at: number;
    do?: "send" | "answer" | "block";
    count?: number;
    until?: number;
    wait: number | "answer";
  }
  const { cases } = vectors<{ cases: { name: string; rate: number; steps: Step[] }[] }>("pacing");
  for (const { name, rate, steps } of cases) {
    const pacer = new Pacer(rate, 0);
    for (const step of steps) {
      const { at, count = 1, until = 0, wait } = step;
      pacer._wait(at);
      for (let done = 0; done < count; done++) {
        if (step.do === "send") pacer._sent();
        else if (step.do === "answer") pacer._answered();
        else if (step.do === "block") pacer._block(until);
      }
      const found = pacer._wait(at);
      assert.equal(found === Infinity ? "answer" : found, wait, `${name} ${JSON.stringify(step)}`);
    }
  }
});

test("messages go out as in the vectors", async () => {
  interface Step {
    add?: string;
    offline?: boolean;
    change?: string;
    next?: string | null;
    ack?: string;
    reject?: string;
    limit?: string;
    restart?: true;
    fail?: true;
  }
  interface Case {
    name: string;
    limit: number;
    steps: Step[];
    answers: Record<string, string>;
  }
  for (const { name, limit, steps, answers } of vectors<{ cases: Case[] }>("send_queue").cases) {
    const queue = new SendQueue(limit);
    const given = new Map<string, { name: string }>();
    const refs = new Map<string, string>();
    const found: Record<string, string> = {};
    for (const [number, step] of steps.entries()) {
      if (step.add !== undefined) {
        const data = { name: step.add };
        given.set(step.add, data);
        queue._add({ type: "message", channel: "c", data }, !step.offline, 131072).then(
          () => (found[step.add!] = "ack"),
          (error: RealtimeError) => (found[step.add!] = error.code),
        );
      } else if (step.change !== undefined) given.get(step.change)!.name += " changed";
      else if (step.next !== undefined) {
        const text = queue._next();
        const message = text === undefined ? null : (JSON.parse(text) as { ref: string; data: { name: string } });
        assert.equal(message && message.data.name, step.next, `${name}: step ${number}`);
        if (message) refs.set(message.data.name, message.ref);
      } else if (step.ack !== undefined) {
        const ref = refs.get(step.ack)!;
        queue._answered(ref, { type: "ack", channel: "c", ref, id: "x" });
      } else if (step.reject !== undefined) queue._answered(refs.get(step.reject)!, new RealtimeError("RT_007", "no"));
      else if (step.limit !== undefined) queue._again(refs.get(step.limit)!);
      else if (step.restart) queue._restart();
      else queue._fail("given up");
    }
    await flush();
    assert.deepEqual(found, answers, name);
  }
});

test("messages of a channel are delivered as in the vectors", async () => {
  interface Step {
    subscribed?: object;
    request?: object;
    gap?: boolean;
    message?: [id: string, position: string, sender?: string, server?: boolean];
    delivered?: boolean;
  }
  const { cases } = vectors<{ cases: { name: string; history?: number; steps: Step[] }[] }>("messages");
  for (const { name, history, steps } of cases) {
    const server = new FakeServer();
    const channel = server.realtime.channel("room", history ? { history } : {});
    const seen: string[] = [];
    channel.on("n", ({ id }) => seen.push(id));
    channel.on("gap", () => seen.push("gap"));
    void channel.subscribe();
    let peer = server.peer.hello();
    let first = true;
    for (const step of steps) {
      const where = `${name} ${JSON.stringify(step)}`;
      seen.length = 0;
      if (step.message) {
        const [id, position, sender = null, server = false] = step.message;
        peer.message("room", 1, { id, position, sender, ...(server && { server }) });
        assert.deepEqual(seen, step.delivered ? [id] : [], where);
        continue;
      }
      if (!first) peer = await reconnect(server);
      first = false;
      const { since, epoch, history: asked } = peer.of("subscribe")[0]!;
      const request = JSON.parse(JSON.stringify({ since, epoch, history: asked })) as object;
      assert.deepEqual(request, step.request, where);
      peer.subscribed("room", step.subscribed);
      await flush();
      assert.deepEqual(seen, step.gap ? ["gap"] : [], where);
    }
    server.realtime.disconnect();
  }
});

test("listeners get what came before them as in the vectors", async () => {
  interface Step {
    subscribed?: true;
    message?: [event: string, data: number];
    presence?: [what: string, user: string];
    wait?: number;
    listen?: string;
    off?: string;
    iterate?: string | null;
    unsubscribe?: true;
    delivered?: string[];
  }
  for (const { name, steps } of vectors<{ cases: { name: string; steps: Step[] }[] }>("listeners").cases) {
    const server = new FakeServer();
    const channel = server.realtime.channel("room", { presence: true });
    server.peer.hello();
    const seen: string[] = [];
    for (const [number, step] of steps.entries()) {
      const { message, presence, wait, listen, off, iterate } = step;
      seen.length = 0;
      if (step.subscribed) {
        void channel.subscribe();
        server.peer.subscribed("room");
      } else if (message) server.peer.message("room", number, { event: message[0], data: message[1] });
      else if (presence)
        server.peer.send({ type: `presence:${presence[0]}`, channel: "room", user: userOf({ id: presence[1] }) });
      else if (wait) server.clock.sleep(wait * 1000);
      else if (listen)
        channel.on(listen, (what: { data?: number; id: string }) => seen.push(`${listen} ${what.data ?? what.id}`));
      else if (off) channel.off(off);
      else if (step.unsubscribe) void channel.unsubscribe();
      else {
        const label = iterate ? `messages ${iterate}` : "messages";
        const found = messages(channel, (iterate ?? undefined) as string);
        void (async () => {
          for await (const { data } of found) seen.push(`${label} ${data}`);
        })();
      }
      await flush();
      assert.deepEqual(seen, step.delivered ?? [], `${name}: step ${number}, ${JSON.stringify(step)}`);
    }
    server.realtime.disconnect();
  }
});
