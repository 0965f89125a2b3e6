// The package as npm installs it: its entries by `import` and by `require`, with types for both, and its licence.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const sdk = new URL("../../../../sdk/js/", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "entries-"));
after(() => rmSync(folder, { recursive: true }));
const run = (command, ...given) => execFileSync(command, given, { cwd: folder, encoding: "utf8" });

const [{ filename, files }] = JSON.parse(run("npm", "pack", "--json", "--ignore-scripts", sdk));
writeFileSync(join(folder, "package.json"), "{}");
run("npm", "install", "--offline", "--no-audit", "--no-fund", `./${filename}`);
const require = createRequire(join(folder, "x.cjs"));

const ENTRIES = {
  "@bunbase/sdk": ["Realtime", "RealtimeError", "db", "realtime", "configure"],
  "@bunbase/sdk/server": ["RealtimeServer", "realtime", "configure"],
  "@bunbase/sdk/crypto": ["Encryption"],
};

test("the tarball has the licence", () => {
  assert.ok(files.some(({ path }) => path === "LICENSE"));
});

for (const [entry, names] of Object.entries(ENTRIES))
  test(`${entry} is imported and required`, () => {
    const used = names.map((name) => `typeof ${name}`).join();
    writeFileSync(join(folder, "x.mjs"), `import { ${names} } from "${entry}"; console.log([${used}].join());`);
    assert.ok(!run("node", "x.mjs").includes("undefined"));
    const required = require(entry);
    for (const name of names) assert.notEqual(typeof required[name], "undefined", name);
  });

test("an error is of the same class in all entries", () => {
  assert.equal(require("@bunbase/sdk").RealtimeError, require("@bunbase/sdk/server").RealtimeError);
});

test("there are types for import and for require", () => {
  const code = Object.entries(ENTRIES).map(
    ([entry, names], at) =>
      `import { ${names.map((name) => `${name} as ${name}${at}`)} } from "${entry}"; void [${names.map((name) => name + at)}];`,
  );
  const files = ["x.mts", "x.cts"]; // in one run: most of its time goes into the types of browsers
  for (const file of files) writeFileSync(join(folder, file), code.join("\n"));
  const options = ["--noEmit", "--strict", "--module", "node16", "--target", "es2022"];
  run("node", join(sdk, "node_modules/typescript/bin/tsc"), ...options, ...files);
});
