// An adapter's package as npm installs it beside the SDK's: by `import` and by `require`, with types for both, and its licence.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const sdk = new URL("../../../sdk/", import.meta.url).pathname;
const adapter = join(sdk, process.env.ADAPTER);
const { name, peerDependencies, version } = JSON.parse(readFileSync(join(adapter, "package.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "packages-"));
after(() => rmSync(folder, { recursive: true }));
function run(command, ...given) {
  const { status, stdout, stderr } = spawnSync(command, given, { cwd: folder, encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

const packed = [join(sdk, "js"), adapter].map(
  (each) => JSON.parse(run("npm", "pack", "--json", "--ignore-scripts", each))[0],
);
writeFileSync(join(folder, "package.json"), "{}");
run(
  ...["npm", "install", "--offline", "--no-audit", "--no-fund", "--legacy-peer-deps"],
  ...packed.map(({ filename }) => `./${filename}`),
);
// The frameworks, which cannot be had offline; and of some the types are packages of their own.
for (const each of Object.keys(peerDependencies).filter((peer) => !peer.startsWith("@bunbase/"))) {
  const [scope, own = scope] = each.split("/");
  if (own !== scope) mkdirSync(join(folder, "node_modules", scope), { recursive: true });
  symlinkSync(join(adapter, "node_modules", each), join(folder, "node_modules", each));
}
const types = join(adapter, "node_modules/@types");
if (existsSync(types)) symlinkSync(types, join(folder, "node_modules/@types"));

test("the tarball has the licence, the description, and what is built", () => {
  const paths = packed[1].files.map(({ path }) => path);
  assert.deepEqual(paths.filter((path) => !path.startsWith("dist/")).sort(), ["LICENSE", "README.md", "package.json"]);
  assert.equal(packed[1].version, version);
});

test("it is imported and required, and so is what it uses of the SDK", () => {
  writeFileSync(
    join(folder, "x.mjs"),
    `import * as all from "${name}"; import "@bunbase/sdk/adapters"; console.log(Object.keys(all).sort().join());`,
  );
  const required = createRequire(join(folder, "x.cjs"))(name);
  const names = Object.keys(required).sort().join();
  assert.match(names, /\w/);
  assert.equal(run("node", "x.mjs").trim(), names);
});

test("there are types for .mts and .cts", () => {
  const files = ["x.mts", "x.cts"]; // in one run: most of its time goes into the types of browsers and of the framework
  for (const file of files)
    writeFileSync(join(folder, file), `import * as all from "${name}"; void all;\nall satisfies object;\n`);
  const options = ["--noEmit", "--strict", "--module", "node16", "--target", "es2022", "--skipLibCheck"];
  run("node", join(sdk, "js/node_modules/typescript/bin/tsc"), ...options, ...files);
});
