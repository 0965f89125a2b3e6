// Bundle each test with what it tests, and run them.

import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { build } from "esbuild";
import { shortNames } from "./names.mjs";

const tests = (await readdir("test", { recursive: true })).filter((name) => name.endsWith(".test.ts"));
await rm("build/test", { recursive: true, force: true });
await build({
  entryPoints: tests.map((name) => `test/${name}`),
  outbase: "test",
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  // As in the package: short names are right as long as no object has two members of one name.
  mangleProps: /^_/,
  mangleCache: shortNames(),
  platform: "node",
  format: "esm",
  sourcemap: "inline",
});
const files = tests.map((name) => `build/test/${name.replace(/ts$/, "mjs")}`);
process.exit(
  spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1,
);
