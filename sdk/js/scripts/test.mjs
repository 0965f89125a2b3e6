// Bundle each test with what it tests, and run them.

import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { build } from "esbuild";

const tests = (await readdir("test", { recursive: true })).filter((name) => name.endsWith(".test.ts"));
await rm("build/test", { recursive: true, force: true });
await build({
  entryPoints: tests.map((name) => `test/${name}`),
  outbase: "test",
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  sourcemap: "inline",
});
const files = tests.map((name) => `build/test/${name.replace(/ts$/, "mjs")}`);
process.exit(
  spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1,
);
