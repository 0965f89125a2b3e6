// MessagePack: what the specification requires, and everything back as it was.

import assert from "node:assert/strict";
import { test } from "node:test";

import { pack, unpack } from "../src/protocol/msgpack.js";
import { randomOf } from "./random.js";

const back = (value: unknown): unknown => unpack(pack(value).buffer);
const bytes = (hex: string): ArrayBuffer => Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16)).buffer;

test("the specification's forms are read", () => {
  const forms: [string, unknown][] = [
    ["c0", null], ["c2", false], ["c3", true], ["7f", 127], ["e0", -32], ["cc80", 128], ["cd0100", 256], ["ceffffffff", 4294967295],
    ["cf0000000100000000", 4294967296], ["d080", -128], ["d18000", -32768], ["d280000000", -2147483648], ["d3ffffffff00000000", -4294967296],
    ["ca3fc00000", 1.5], ["cb3ff8000000000000", 1.5], ["a161", "a"], ["d90161", "a"], ["da000161", "a"], ["db0000000161", "a"],
    ["9101", [1]], ["dc000101", [1]], ["dd0000000101", [1]], ["81a16101", { a: 1 }], ["de0001a16101", { a: 1 }], ["df00000001a16101", { a: 1 }],
  ]; // prettier-ignore
  for (const [hex, value] of forms) assert.deepEqual(unpack(bytes(hex)), value, hex);
});

test("what is not JSON, or is cut off, is an error", () => {
  for (const hex of ["c1", "c40100", "d40100", "c70100ff"]) assert.throws(() => unpack(bytes(hex)), TypeError);
  for (const hex of ["a2", "cd00", "91"]) assert.throws(() => unpack(bytes(hex)), RangeError);
});

test("numbers, texts and containers of every size come back", () => {
  for (let bits = 0; bits < 53; bits++)
    for (const off of [-1, 0, 1])
      for (const sign of [1, -1]) assert.equal(back(sign * (2 ** bits + off) + 0), sign * (2 ** bits + off) + 0);
  for (const number of [0.1, -1e300, 2 ** 70, Number.MAX_SAFE_INTEGER, 5e-324]) assert.equal(back(number), number);
  assert.ok(Object.is(back(-0), -0));
  for (const length of [0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000]) {
    assert.equal(back("é".repeat(length)), "é".repeat(length));
    const array = Array.from({ length }, (_, index) => index % 200);
    assert.deepEqual(back(array), array);
    const object = Object.fromEntries(array.map((value, index) => [`k${index}`, value]));
    assert.deepEqual(back(object), object);
  }
});

test("any JSON comes back", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = randomOf(seed);
    const some = (depth: number): unknown => {
      const kind = random(depth ? 8 : 6);
      if (kind === 6) return Array.from({ length: random(5) }, () => some(depth - 1));
      if (kind === 7)
        return Object.fromEntries(Array.from({ length: random(5) }, (_, index) => [`${index}ß`, some(depth - 1)]));
      return [null, true, false, random(2 ** 31) - 2 ** 30, random(1000) / 7, "x😀".repeat(random(20))][kind];
    };
    const value = some(4);
    assert.deepEqual(back(value), value);
  }
});
