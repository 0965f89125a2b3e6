// Bundle each test with what it tests and with the SDK's sources, and run them.

import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { build } from "../../js/node_modules/esbuild/lib/main.js";

const tests = (await readdir("test")).filter((name) => name.endsWith(".test.tsx"));
await rm("build/test", { recursive: true, force: true });
await build({
  entryPoints: tests.map((name) => `test/${name}`),
  outdir: "build/test",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  packages: "external",
  alias: { "@bunbase/sdk": "../js/src/index.ts" },
  jsx: "automatic",
  platform: "node",
  format: "esm",
  sourcemap: "inline",
});
const files = tests.map((name) => `build/test/${name.replace(/tsx$/, "mjs")}`);
process.exit(
  spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1,
);
